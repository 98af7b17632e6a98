/*
 * redis_reply.c - bytes from a server to replies, and replies to results. The server may be broken or hostile: what it can make
 * us hold is bounded (objects and octets of one reply, the unread rest of a half reply), and what is not exactly what our
 * script answers is refused.
 *
 * hiredis's reader does the parsing, over objects of ours: one that is asked for too much gets none, which ends the reading.
 */
#include <assert.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#include "redis_internal.h"

/* --- objects ---------------------------------------------------------------------------------------------------------------- */

void redis_said_free(struct redis_said *reply)
{
    if (!reply)
        return;
    for (size_t i = 0; i < reply->count; i++)
        redis_said_free(reply->items[i]);
    free(reply->items);
    free((char *)(uintptr_t)reply->text.p);
    free(reply);
}

/* A new object in its place in the array that is being read; NULL: too many. */
static struct redis_said *new_object(const redisReadTask *task, enum redis_said_type type, size_t objects, size_t octets)
{
    struct redis_bytes *r = task->privdata;
    if (objects > SAID_OBJECTS_MAX - r->objects || octets > SAID_OCTETS_MAX - r->octets)
        return NULL;
    r->objects += objects;
    r->octets += octets;
    struct redis_said *reply = xcalloc(1, sizeof *reply);
    reply->type = type;
    if (task->parent) {
        struct redis_said *parent = task->parent->obj;
        assert(parent->type == SAID_ARRAY && (size_t)task->idx < parent->count);
        parent->items[task->idx] = reply;
    }
    return reply;
}

static void *create_text(const redisReadTask *task, char *text, size_t n)
{
    enum redis_said_type type = task->type == REDIS_REPLY_STATUS ? SAID_STATUS : SAID_TEXT;
    if (task->type == REDIS_REPLY_ERROR)
        type = SAID_ERROR;
    struct redis_said *reply = new_object(task, type, 1, n);
    if (reply)
        reply->text = (struct str){xstrndup(text, n), n};
    return reply;
}

static void *create_array(const redisReadTask *task, int elements)
{
    if (elements < 0 || elements >= SAID_OBJECTS_MAX)
        return NULL;
    struct redis_said *reply = new_object(task, SAID_ARRAY, 1, 0);
    if (reply && elements > 0) {
        reply->items = xcalloc((size_t)elements, sizeof *reply->items);
        reply->count = (size_t)elements;
    }
    return reply;
}

static void *create_number(const redisReadTask *task, long long value)
{
    struct redis_said *reply = new_object(task, SAID_INTEGER, 1, 0);
    if (reply)
        reply->number = value;
    return reply;
}

static void *create_nil(const redisReadTask *task)
{
    return new_object(task, SAID_NIL, 1, 0);
}

static void free_object(void *reply)
{
    redis_said_free(reply);
}

/* --- the reader ------------------------------------------------------------------------------------------------------------- */

void redis_bytes_open(struct redis_bytes *r)
{
    static redisReplyObjectFunctions functions = {create_text, create_array, create_number, create_nil, free_object};
    *r = (struct redis_bytes){.reader = redisReaderCreateWithFunctions(&functions)};
    if (!r->reader)
        abort(); /* out of memory */
    r->reader->privdata = r;
}

void redis_bytes_close(struct redis_bytes *r)
{
    if (r->reader)
        redisReaderFree(r->reader);
    *r = (struct redis_bytes){0};
}

bool redis_bytes_feed(struct redis_bytes *r, const void *bytes, size_t n)
{
    if (r->reader->len - r->reader->pos + n > SAID_OCTETS_MAX) /* what is left of a half reply */
        return false;
    return redisReaderFeed(r->reader, bytes, n) == REDIS_OK;
}

bool redis_bytes_next(struct redis_bytes *r, struct redis_said **reply)
{
    void *object = NULL;
    *reply = NULL;
    if (redisReaderGetReply(r->reader, &object) != REDIS_OK)
        return false;
    if (object)
        r->objects = r->octets = 0;
    *reply = object;
    return true;
}

/* --- meaning ---------------------------------------------------------------------------------------------------------------- */

enum { ROW_NUMBERS = 10 };

static bool number_of(const struct redis_said *reply, uint64_t *out)
{
    if (reply->type != SAID_INTEGER || reply->number < 0 || (uint64_t)reply->number > STORE_FOREVER)
        return false;
    *out = (uint64_t)reply->number;
    return true;
}

static bool understand_row(const struct store_operation *op, const struct redis_said *reply, struct store_result *result)
{
    uint64_t n[ROW_NUMBERS];
    if (reply->count != ROW_NUMBERS)
        return false;
    for (size_t i = 0; i < ROW_NUMBERS; i++) {
        if (!number_of(reply->items[i], &n[i]))
            return false;
    }
    if (n[0] > 1 || n[8] > STORE_DENIED || (n[8] != STORE_NO_RULING && op->kind != STORE_GREYLIST))
        return false;
    result->found = n[0] == 1;
    result->row = (struct store_row){.first_ms = n[1], .last_ms = n[2], .expires_ms = n[3], .passed = n[4], .refused = n[5]};
    result->client_passes = n[6];
    result->client_expires_ms = n[7];
    result->ruling = (enum store_ruling)n[8];
    result->count = n[9];
    return true;
}

static bool understand_entry(const struct redis_said *key, const struct redis_said *row, struct page *page)
{
    uint64_t n[5];
    struct str rest = row->text, word;
    if (key->type != SAID_TEXT || key->text.n > STORE_KEY_MAX || row->type != SAID_TEXT || page->count == STORE_PAGE_MAX)
        return false;
    for (size_t i = 0; i < 5; i++) {
        if (!str_split(&rest, ' ', &word) || !str_to_u64(word, UINT64_MAX, &n[i]))
            return false;
    }
    if (rest.p)
        return false;
    page_add(page, key->text,
             &(struct store_row){.first_ms = n[0], .last_ms = n[1], .expires_ms = n[2], .passed = n[3], .refused = n[4]});
    return true;
}

static bool understand_page(const struct store_operation *op, const struct redis_said *reply, struct store_result *result,
                            struct page *page)
{
    uint64_t cursor, *counts[] = {&result->stats.rows, &result->stats.expired, &result->stats.passed};
    if (reply->count == 0 || reply->items[0]->type != SAID_TEXT || !str_to_u64(reply->items[0]->text, UINT64_MAX, &cursor))
        return false;
    if (cursor != 0)
        result->cursor = page->cursor = arena_str(&page->arena, reply->items[0]->text);
    if (op->kind == STORE_FORGET_ALL)
        return reply->count == 2 && number_of(reply->items[1], &result->count);
    if (op->kind == STORE_STATS) {
        for (size_t i = 0; i < 3; i++) {
            if (reply->count != 4 || !number_of(reply->items[i + 1], counts[i]))
                return false;
        }
        return true;
    }
    if (reply->count % 2 == 0)
        return false;
    for (size_t i = 1; i < reply->count; i += 2) {
        if (!understand_entry(reply->items[i], reply->items[i + 1], page))
            return false;
    }
    result->entries = page->entries;
    result->entry_count = page->count;
    return true;
}

bool redis_understand(const struct store_operation *op, const struct redis_said *reply, struct store_result *result,
                      struct page *page)
{
    *result = (struct store_result){0};
    if (reply->type != SAID_ARRAY)
        return false;
    if (!(page ? understand_page(op, reply, result, page) : understand_row(op, reply, result))) {
        *result = (struct store_result){0};
        return false;
    }
    store_finish(op, result);
    return true;
}

const char *redis_error_text(struct str error)
{
    static const struct { struct str word; const char *text; } known[] = {
        {STR("LOADING"), "the Redis server is still loading its data"},
        {STR("OOM"), "the Redis server is out of memory"},
        {STR("READONLY"), "the Redis server is a read-only replica"},
        {STR("MISCONF"), "the Redis server cannot save its data and takes no writes"},
        {STR("BUSY"), "the Redis server is busy with a script"},
        {STR("NOAUTH"), "the Redis server wants a password"},
        {STR("WRONGPASS"), "the Redis server does not take user and password"},
        {STR("NOPERM"), "the Redis user may not do this"},
        {STR("MASTERDOWN"), "the Redis server has lost its master"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (str_starts(error, known[i].word))
            return known[i].text;
    }
    return "the Redis server answered with an error";
}
