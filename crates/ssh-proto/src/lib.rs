//! The SSH-2 core, sans-IO, client and server
