//! Users, login methods, permissions
