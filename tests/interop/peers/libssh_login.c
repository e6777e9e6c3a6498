/*
 * One login with libssh: PORT USER KNOWN_HOSTS METHOD PROOF.
 *
 * METHOD is publickey (PROOF is the file of a private key), password or keyboard-interactive (PROOF is
 * the answer to every question). Opens the start directory. Ends with 0 when it got in, 5 when it was
 * refused, 1 when anything else went wrong.
 */

#include <libssh/libssh.h>
#include <libssh/sftp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_key(ssh_session session, const char *file) {
    ssh_key key;
    if (ssh_pki_import_privkey_file(file, NULL, NULL, NULL, &key) != SSH_OK) {
        return SSH_AUTH_ERROR;
    }
    int outcome = ssh_userauth_publickey(session, NULL, key);
    ssh_key_free(key);
    return outcome;
}

static int by_questions(ssh_session session, const char *answer) {
    int outcome;
    while ((outcome = ssh_userauth_kbdint(session, NULL, NULL)) == SSH_AUTH_INFO) {
        int prompts = ssh_userauth_kbdint_getnprompts(session);
        for (int i = 0; i < prompts; i++) {
            ssh_userauth_kbdint_setanswer(session, i, answer);
        }
    }
    return outcome;
}

static int log_in(ssh_session session, const char *method, const char *proof) {
    /* Asks which methods there are, as libssh wants it done first. */
    if (ssh_userauth_none(session, NULL) == SSH_AUTH_SUCCESS) {
        return SSH_AUTH_ERROR;
    }
    if (strcmp(method, "publickey") == 0) {
        return by_key(session, proof);
    }
    if (strcmp(method, "password") == 0) {
        return ssh_userauth_password(session, NULL, proof);
    }
    return by_questions(session, proof);
}

static int fail(ssh_session session, const char *what) {
    fprintf(stderr, "%s: %s\n", what, ssh_get_error(session));
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 6) {
        return 2;
    }
    ssh_session session = ssh_new();
    unsigned int port = (unsigned int)atoi(argv[1]);
    int read_no_settings = 0;
    ssh_options_set(session, SSH_OPTIONS_PROCESS_CONFIG, &read_no_settings);
    ssh_options_set(session, SSH_OPTIONS_HOST, "127.0.0.1");
    ssh_options_set(session, SSH_OPTIONS_PORT, &port);
    ssh_options_set(session, SSH_OPTIONS_USER, argv[2]);
    ssh_options_set(session, SSH_OPTIONS_KNOWNHOSTS, argv[3]);
    if (ssh_connect(session) != SSH_OK) {
        return fail(session, "connect");
    }
    if (ssh_session_is_known_server(session) != SSH_KNOWN_HOSTS_OK) {
        return fail(session, "host key");
    }
    int outcome = log_in(session, argv[4], argv[5]);
    if (outcome == SSH_AUTH_DENIED) {
        fail(session, "refused");
        return 5;
    }
    if (outcome != SSH_AUTH_SUCCESS) {
        return fail(session, "login");
    }
    sftp_session sftp = sftp_new(session);
    if (sftp == NULL || sftp_init(sftp) != SSH_OK) {
        return fail(session, "sftp");
    }
    sftp_dir dir = sftp_opendir(sftp, ".");
    if (dir == NULL) {
        return fail(session, "list");
    }
    sftp_closedir(dir);
    sftp_free(sftp);
    ssh_disconnect(session);
    ssh_free(session);
    return 0;
}
