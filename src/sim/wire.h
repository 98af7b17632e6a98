/*
 * wire.h - what lies between one of our ends (a client, a backend's connection) and the proxy: it sees the bytes of both
 * directions, counts the records of TLS among them (RFC 8446 5.1), and breaks at one of them when the perturbation says so.
 *
 * So a connection is cut at every step of a handshake and at every record of what follows, without either end knowing of it
 * before. Until wire_encrypted() bytes are not looked at.
 */
#ifndef POSTERN_SIM_WIRE_H
#define POSTERN_SIM_WIRE_H

#include "postern/net/stream.h"

struct world;

enum record_fault {
    RECORD_WHOLE,
    RECORD_CLOSES,  /* the connection ends, without close_notify */
    RECORD_RESETS,
    RECORD_STALLS,  /* nothing more crosses, and nobody says so */
    RECORD_DAMAGED, /* its last octet is another */
};

struct wire {
    struct memory_wire hook; /* first */
    struct task task;
    struct world *world;
    void (*broken)(struct wire *wire, enum record_fault fault); /* runs by itself from the loop; may free the wire */
    struct record_reader {
        bool reading;        /* records are expected */
        unsigned char head[5];
        size_t have;         /* of head */
        size_t left;         /* octets of its body still to come */
        size_t ordinal;      /* among all records of the world */
        size_t stop_at;      /* of its body: so much of it still passes */
    } directions[2];
    bool stopped;
};

void wire_init(struct wire *wire, struct world *w, void (*broken)(struct wire *wire, enum record_fault fault));
void wire_encrypted(struct wire *wire); /* from here on both sides speak TLS */
void wire_clear(struct wire *wire);

#endif
