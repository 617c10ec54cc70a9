/* Shared by the session_*.c files alone. */
#ifndef JOGAK_CLI_SESSION_INTERNAL_H
#define JOGAK_CLI_SESSION_INTERNAL_H

#include "session.h"

/* A path in the session's directory; the caller frees. */
char *session_path(const struct session *s, const char *name);
/* Finds the directory, loads the configuration. */
int session_begin(struct session *s, struct err *err);
/* The client for the identity that stands in *s. */
int session_connect(struct session *s, struct err *err);

#endif
