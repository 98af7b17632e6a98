/*
 * wire.c - see wire.h.
 */
#include "wire.h"

#include "world.h"

enum { HEAD = 5, TYPE_FIRST = 20, TYPE_LAST = 24, DAMAGE = 0x20 };

/* How a record of this ordinal is disturbed. */
static enum record_fault fault_of(const struct wire *wire, size_t ordinal)
{
    const struct perturbation *how = wire->world->how;
    return ordinal == how->record_at ? how->record_fault : RECORD_WHOLE;
}

/* A record's head is whole: how much of its body passes? */
static void head_read(const struct wire *wire, struct record_reader *r)
{
    enum record_fault fault = fault_of(wire, r->ordinal);
    r->left = (size_t)r->head[3] << 8 | r->head[4];
    r->reading = r->head[0] >= TYPE_FIRST && r->head[0] <= TYPE_LAST; /* somebody speaks in clear: no more is understood */
    r->stop_at = SIZE_MAX;
    if (fault == RECORD_CLOSES || fault == RECORD_RESETS || fault == RECORD_STALLS)
        r->stop_at = wire->world->how->record_where == RECORD_IN ? r->left - r->left / 2 : 0;
}

/* One octet goes by. False: it does not, nor does what follows it. */
static bool octet_passes(struct wire *wire, struct record_reader *r, char *octet)
{
    if (r->have == 0)
        r->ordinal = ++wire->world->tally.records;
    if (r->have < HEAD) {
        r->head[r->have++] = (unsigned char)*octet;
        if (r->have == HEAD)
            head_read(wire, r);
        return true;
    }
    if (r->left == r->stop_at)
        return false;
    if (r->left == 1 && fault_of(wire, r->ordinal) == RECORD_DAMAGED)
        *octet ^= DAMAGE;
    r->left--;
    return true;
}

/* Behind the last octet of a record that the connection ends with. */
static bool over(const struct record_reader *r)
{
    return r->have == HEAD && r->left == r->stop_at;
}

static size_t pass(struct memory_wire *hook, bool to_b, char *octets, size_t n)
{
    struct wire *wire = (struct wire *)(void *)hook;
    struct record_reader *r = &wire->directions[to_b];
    size_t i = 0;
    if (wire->stopped)
        return 0;
    while (i < n && r->reading && !wire->stopped) {
        if (r->have == HEAD && r->left == 0)
            r->have = 0;
        wire->stopped = !octet_passes(wire, r, &octets[i]);
        i += !wire->stopped;
        wire->stopped |= over(r);
    }
    if (!wire->stopped)
        return n;
    loop_wake(wire->world->loop, &wire->task);
    return i;
}

static void wire_run(struct task *t)
{
    struct wire *wire = (struct wire *)(void *)((char *)t - offsetof(struct wire, task));
    wire->broken(wire, wire->world->how->record_fault);
}

void wire_init(struct wire *wire, struct world *w, void (*broken)(struct wire *wire, enum record_fault fault))
{
    *wire = (struct wire){.hook = {pass}, .task = {.run = wire_run}, .world = w, .broken = broken};
}

void wire_encrypted(struct wire *wire)
{
    wire->directions[0] = wire->directions[1] = (struct record_reader){.reading = true};
}

void wire_clear(struct wire *wire)
{
    if (wire->world)
        loop_unwake(wire->world->loop, &wire->task);
}
