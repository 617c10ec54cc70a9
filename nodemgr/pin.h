/*
 * Pin a QEMU process: keep it from running, whatever libvirt does, and end it.
 *
 * A pidfd names one process for good, so no signal of ours can meet another that got its number.
 */
#ifndef JOGAK_NODEMGR_PIN_H
#define JOGAK_NODEMGR_PIN_H

#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PIN_DIRECTORY "/run/libvirt/qemu" /* libvirt's: DOMAIN.pid */

struct pin;
/* The QEMU of this domain, by libvirt's pid file; its command line must name the domain.
 * Errors: ERR_NOT_FOUND (it does not run), ERR_UNAVAILABLE. */
struct pin *pin_open(const char *domain, struct err *err);
/* The same by the pid files of another directory. */
struct pin *pin_open_in(const char *directory, const char *domain, struct err *err);
void pin_close(struct pin *p); /* leaves the process as it is; NULL is fine */
pid_t pin_pid(const struct pin *p);

/* SIGSTOP and SIGCONT. A process that is gone is no error. */
int pin_stop(struct pin *p, struct err *err);
int pin_continue(struct pin *p, struct err *err);
/* SIGCONT for one that somebody else had stopped, unless a pin of this process holds it stopped: then nothing
 * is done. A QEMU that does not run any more is no error. */
int pin_thaw(const char *directory, const char *domain, struct err *err);
/* Has a signal stopped it? */
bool pin_is_stopped(struct pin *p);
/* Has it ended, now or within ms? */
bool pin_gone(struct pin *p, int ms);
/* Is SIGTERM or SIGKILL on its way to it? While it is stopped, libvirt's SIGTERM stays so. */
bool pin_ending(struct pin *p);
/* SIGKILL. A stopped process does not run again before it ends. */
int pin_kill(struct pin *p, struct err *err);

#endif
