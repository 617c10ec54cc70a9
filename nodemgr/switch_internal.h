/* Shared by the switch*.c files only. */
#ifndef JOGAK_NODEMGR_SWITCH_INTERNAL_H
#define JOGAK_NODEMGR_SWITCH_INTERNAL_H

#include "nodemgr/openflow.h"
#include "nodemgr/ovsdb.h"
#include "nodemgr/switch.h"

#include <pthread.h>

struct switch_door {
    pthread_mutex_t lock; /* everything below */
    char *bridge;
    char *datapath_type;
    char *db_socket;
    char *run_dir;
    char *mgmt_socket;
    struct ovsdb db;
    struct openflow of;
    uint64_t generation;
};

#endif
