/* rooms: store */
/*
 * Bytes of a Redis server to replies, and replies to results. The first octet says which operation was asked, the second how
 * the bytes are cut; cutting changes nothing. What is understood keeps to the bounds that the interface promises.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "redis_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const struct store_operation *op, const struct redis_said *reply, struct buf *seen)
{
    struct store_result r;
    struct page *page = store_is_paged(op->kind) ? page_new() : NULL;
    buf_printf(seen, "%d ", reply->type);
    if (reply->type == SAID_ERROR)
        buf_cstr(seen, redis_error_text(reply->text));
    if (redis_understand(op, reply, &r, page)) {
        assert(!r.error && r.row.expires_ms <= STORE_FOREVER && r.row.passed <= STORE_FOREVER && r.count <= STORE_FOREVER);
        assert(r.ruling == STORE_NO_RULING || (r.ruling <= STORE_DENIED && (op->kind == STORE_GREYLIST || op->kind >= STORE_ALLOW)));
        assert(r.entry_count <= STORE_PAGE_MAX && (page || !r.entries));
        for (size_t i = 0; i < r.entry_count; i++) {
            assert(r.entries[i].key.n <= STORE_KEY_MAX);
            buf_str(seen, r.entries[i].key);
        }
        buf_printf(seen, "%d %llu %zu ", r.found, (unsigned long long)r.row.first_ms, r.entry_count);
    }
    page_free(&page);
}

static void read_all(const struct store_operation *op, const uint8_t *bytes, size_t n, size_t chunk, struct buf *seen)
{
    struct redis_bytes reader;
    struct redis_said *reply;
    bool good = true;
    redis_bytes_open(&reader);
    for (size_t at = 0; at < n && good; at += chunk) {
        size_t some = n - at < chunk ? n - at : chunk;
        char *copy = malloc(some);
        memcpy(copy, bytes + at, some);
        good = redis_bytes_feed(&reader, copy, some);
        free(copy);
        while (good && (good = redis_bytes_next(&reader, &reply)) && reply) {
            judge(op, reply, seen);
            redis_said_free(reply);
        }
    }
    if (!good)
        buf_cstr(seen, "failed");
    redis_bytes_close(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store_operation op = {.key = STR("k"), .now_ms = 5, .limit = 10};
    struct buf whole = {0}, cut = {0};
    if (size < 3)
        return 0;
    op.kind = (enum store_kind)(data[0] % (STORE_DENY + 1));
    read_all(&op, data + 2, size - 2, size, &whole);
    read_all(&op, data + 2, size - 2, 1 + data[1] % 32, &cut);
    assert(str_eq(buf_view(&whole), buf_view(&cut)));
    buf_free(&whole);
    buf_free(&cut);
    return 0;
}
