/*
 * What the tests of the audit share: inventories, written as JSON by a few macros.
 *
 * Sliver A lives on h1 at epoch 3 (its highest is 5), with one vNIC; B was released at epoch 2.
 */
#ifndef JOGAK_TESTS_AM_AUDIT_FIXTURE_H
#define JOGAK_TESTS_AM_AUDIT_FIXTURE_H

#include "common/json.h"

#include <check.h>
#include <stdio.h>

#define A "aaaaaaaa-2222-4333-8444-555555555555"
#define B "bbbbbbbb-2222-4333-8444-555555555555"
#define NOBODY "cccccccc-2222-4333-8444-555555555555"
#define SLICE "51111111-2222-4333-8444-555555555555"
#define OPEN_MIGRATION "d1111111-2222-4333-8444-555555555555"
#define PAST_MIGRATION "d2111111-2222-4333-8444-555555555555"
#define ALL_OK \
    "\"sources\":[{\"name\":\"database\",\"ok\":true},{\"name\":\"libvirt\",\"ok\":true}," \
    "{\"name\":\"switch\",\"ok\":true},{\"name\":\"devices\",\"ok\":true}," \
    "{\"name\":\"files\",\"ok\":true}]"

static inline json *parse(const char *text) {
    struct err err = ERR_INIT;
    json *j = json_parse(text, strlen(text), &err);
    ck_assert_msg(j != NULL, "%s: %s", err.msg, text);
    return j;
}

#define DOMAIN(state) \
    "{\"kind\":\"domain\",\"name\":\"jogak-aaaaaaaa-e3\",\"ours\":\"yes\",\"sliver\":\"" A \
    "\",\"epoch\":3,\"known\":true,\"state\":\"" state "\"}"
#define ROW(state) \
    "{\"kind\":\"row\",\"name\":\"" A "-e3\",\"ours\":\"yes\",\"sliver\":\"" A \
    "\",\"epoch\":3,\"known\":true,\"state\":\"" state "\"}"
#define PORT \
    "{\"kind\":\"port\",\"name\":\"jg1\",\"ours\":\"yes\",\"sliver\":\"" A \
    "\",\"epoch\":3,\"known\":true}"
#define FORWARDING "{\"kind\":\"forwarding\",\"name\":\"" SLICE "\",\"ours\":\"yes\"}"
#define HEALTHY DOMAIN("running") "," ROW("own") "," PORT "," FORWARDING
#define THING(kind, name, sliver, epoch, known) \
    "{\"kind\":\"" kind "\",\"name\":\"" name "\",\"ours\":\"yes\",\"sliver\":\"" sliver \
    "\",\"epoch\":" #epoch ",\"known\":" #known ",\"state\":\"running\"}"
#define OF(ours, kind, name) \
    "{\"kind\":\"" kind "\",\"name\":\"" name "\",\"ours\":\"" ours "\"}"
#define FLOW(vni, known) \
    "{\"kind\":\"flow\",\"name\":\"vni-" #vni "\",\"ours\":\"yes\",\"vni\":" #vni \
    ",\"known\":" #known "}"

/* Flags of a case. UNSEEN: the owner's node was not seen to have the sliver. */
enum { UNSEEN = 128, MOVING = 1, ARMED = 2, NO_LIBVIRT = 4, NO_SWITCH = 8, INCOMPLETE = 16, ELSEWHERE = 32,
       ALLOCATED = 64 };

static inline json *inventory_of(const char *items, int flags) {
    char text[8192];
    snprintf(text, sizeof text, "{\"start\":\"%s\",\"complete\":%s," ALL_OK ",\"items\":[%s]}", NOBODY,
             flags & INCOMPLETE ? "false" : "true", items);
    json *inventory = parse(text);
    json *sources = json_get(inventory, "sources");
    if (flags & NO_LIBVIRT) json_set_bool(json_at(sources, 1), "ok", false);
    if (flags & NO_SWITCH) json_set_bool(json_at(sources, 2), "ok", false);
    return inventory;
}

#endif
