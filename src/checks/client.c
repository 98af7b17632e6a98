/*
 * client.c - client.ip, client.net, listener: what the connection itself says.
 */
#include "internal.h"

enum check_result check_client(struct scope *s, const struct check_run *run)
{
    const struct subject *subject = scope_of(s, STAGE_CONNECT)->subject;
    struct prefix network = addr_network(&subject->client.addr, 24, 64);
    char text[PREFIX_TEXT];

    (void)run;
    facts_set_addr(&s->facts, FACT_CLIENT_IP, &subject->client.addr);
    facts_set_text(&s->facts, FACT_CLIENT_NET, str_of(prefix_format(&network, text)));
    facts_set_text(&s->facts, FACT_LISTENER, subject->listener);
    return CHECK_DONE;
}
