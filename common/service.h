/*
 * What the main.c of every service shares: options, configuration, logs, keys, signals, readiness.
 *
 *   jogak-aggregate [--config FILE] [--check-config] [--version] [--help]
 * SIGTERM and SIGINT end it; SIGHUP loads the log levels again. It tells systemd READY=1.
 */
#ifndef JOGAK_SERVICE_H
#define JOGAK_SERVICE_H

#include "config.h"

/* Every service's configuration struct begins with this. Rows: SERVICE_CONFIG_ROWS(type). */
struct service_config {
    char *listen_address;
    int64_t listen_port;
    char *state_dir;  /* /var/lib/jogak/<service>; made with mode 0700; never readable by others */
    char *log_levels;
    char *enroll_token; /* a file holding the one-time token of the first start; may be "" */
    char *advertise_host; /* the name or address that others reach us by; goes into the certificate */
};
#define SERVICE_CONFIG_ROWS(type, service, port) \
    { "service", "listen_address", CONFIG_STRING, offsetof(type, base.listen_address), 0, 0, \
      "127.0.0.1", NULL, "Numeric address to listen on." }, \
    { "service", "listen_port", CONFIG_INT, offsetof(type, base.listen_port), 1, 65535, port, \
      NULL, "TCP port to listen on." }, \
    { "service", "state_dir", CONFIG_STRING, offsetof(type, base.state_dir), 0, 0, \
      "/var/lib/jogak/" service, NULL, "Where the database and the keys are kept." }, \
    { "service", "log_levels", CONFIG_STRING, offsetof(type, base.log_levels), 0, 0, "info", \
      NULL, "Default level and exceptions, e.g. info,am.engine=debug." }, \
    { "service", "enroll_token", CONFIG_STRING, offsetof(type, base.enroll_token), 0, 0, "", \
      NULL, "File with the one-time token that the first start enrols with." }, \
    { "service", "advertise_host", CONFIG_STRING, offsetof(type, base.advertise_host), 0, 0, \
      "127.0.0.1", NULL, "Name or address by which the others reach this service." }

struct service {
    const char *name; /* "aggregate" */
    const struct config_row *rows;
    size_t row_count;
    void *config; /* struct that begins with struct service_config */
};
/* Before service_begin(), by a tool of the service that may run beside it: do not ask for the
 * state directory to be ours alone. */
void service_share_state(void);
/* Handles options and loads the configuration, makes the state directory and locks it against a
 * second process, blocks signals for service_wait(), ignores SIGPIPE, forbids core dumps. To be
 * called before any thread starts. Returns -1 to go on, else the exit status to end with. */
int service_begin(struct service *s, int argc, char **argv);
/* Tells systemd that we serve, then blocks until SIGTERM or SIGINT. */
void service_wait(struct service *s);
/* Frees the configuration and gives the state directory back; at the end of main(). */
void service_end(struct service *s);

/* Our identity: key, certificate, authority; texts owned by the struct. */
struct identity {
    char *key_pem, *cert_pem, *ca_pem;
    char urn[256];
    char clearinghouse_url[256];
};
/* Loads <state_dir>/identity.{key,crt,ca,url}; when there is none, or none that is still valid,
 * enrols with the token in config->enroll_token (enroll.h), keeps the result (0600, written whole
 * or not at all) and removes the token's file. type: "am", "ss", "node". Blocks up to 15 s when it
 * enrols. Errors: ERR_UNAUTHENTICATED without identity and token, and those of enroll(). */
int identity_open(const struct service_config *config, const char *type, struct identity *ret,
                  struct err *err);
void identity_done(struct identity *i);
/* When less than a third of the certificate's life is left: gets a new one from the clearing house,
 * keeps it and puts it into i->cert_pem; the HTTP server and clients must then be made anew.
 * identity_open() does it at the start (and goes on with the old one when it cannot); one that runs
 * for months calls it daily, from one thread, while nothing else reads *i. Blocks up to 15 s.
 * 1: renewed, 0: not due, -1: error (the old one is still there). */
int identity_renew(const struct service_config *config, struct identity *i, struct err *err);

/* Files: whole or not at all (temporary file, fsync, rename, fsync of the directory). */
int file_write(const char *path, const void *data, size_t length, unsigned mode, struct err *err);
char *file_read(const char *path, size_t max_bytes, size_t *ret_length, struct err *err);
int dir_make(const char *path, unsigned mode, struct err *err); /* with its parents */

#endif
