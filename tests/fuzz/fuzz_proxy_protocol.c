/* rooms: net */
/*
 * The first bytes of a connection as a PROXY header. However few of them have come, the verdict is the same once there is one; a
 * header ends within what was given and within the limits; a client's address that was read is written and read as the same.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "postern/net/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const struct proxy_protocol *p)
{
    struct proxy_protocol again;
    struct buf out = {0};
    assert(!p->error && !(p->local && p->known) && (p->version == 1 || p->version == 2));
    assert(p->length > 0 && p->length <= (p->version == 1 ? PROXY_PROTOCOL_V1_MAX : PROXY_PROTOCOL_MAX));
    if (!p->known) {
        assert(p->source.addr.family == 0 && p->destination.addr.family == 0);
        return;
    }
    proxy_protocol_put(&out, &p->source, &p->destination);
    assert(proxy_protocol_parse(buf_view(&out), &again) == PROXY_PROTOCOL_DONE && again.known && again.length == out.n);
    assert(addr_eq(&p->source.addr, &again.source.addr) && p->source.port == again.source.port);
    assert(addr_eq(&p->destination.addr, &again.destination.addr) && p->destination.port == again.destination.port);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_protocol whole, part;
    struct str in = {(const char *)data, size};
    enum proxy_protocol_result result = proxy_protocol_parse(in, &whole);
    assert((result == PROXY_PROTOCOL_FAILED) == (whole.error != NULL));
    assert(result != PROXY_PROTOCOL_NOT_YET || size < PROXY_PROTOCOL_MAX);
    if (result == PROXY_PROTOCOL_DONE) {
        assert(whole.length <= size);
        judge(&whole);
    }
    size_t cuts = size < 300 ? size : 300;
    for (size_t n = 0; n < cuts; n++) {
        char *copy = malloc(n ? n : 1); /* of exactly this size: reading past it is seen */
        assert(copy);
        memcpy(copy, data, n);
        enum proxy_protocol_result early = proxy_protocol_parse((struct str){copy, n}, &part);
        free(copy);
        assert(early == PROXY_PROTOCOL_NOT_YET || early == result);
        if (result == PROXY_PROTOCOL_DONE) {
            assert((early == PROXY_PROTOCOL_DONE) == (n >= whole.length));
        }
    }
    return 0;
}
