/*
 * helo.c - helo.name, helo.form, helo.ours: what the client called itself, by its form alone.
 *
 * helo.ours is a plain comparison: the name is our host name or one of our domains (".x" in the setting standing for all names below x), or the
 * address is one that we listen on by number. It says nothing of who asks: a client on this machine or in relay-from may rightly do so, and a
 * policy that minds helo.ours says so itself. A client that sent no HELO has none of these facts.
 */
#include "internal.h"

static bool is_our_name(const struct settings *settings, struct str name)
{
    if (str_eq_nocase(name, settings->hostname))
        return true;
    for (size_t i = 0; i < settings->domain_count; i++) {
        struct str domain = settings->domains[i];
        if (domain.n && domain.p[0] == '.' ? name.n > domain.n && str_ends_nocase(name, domain) : str_eq_nocase(name, domain))
            return true;
    }
    return false;
}

static bool is_our_address(const struct settings *settings, const struct addr *a)
{
    for (size_t i = 0; i < settings->listen_count; i++) {
        struct addr_port listen;
        if (addr_port_parse(settings->listen[i].address, 25, &listen) && addr_eq(&listen.addr, a))
            return true;
    }
    return false;
}

enum check_result check_helo(struct scope *s, const struct check_run *run)
{
    static const char *const words[] = {[HELO_NAME] = "name", [HELO_LITERAL] = "literal", [HELO_BARE] = "bare", [HELO_INVALID] = "invalid"};
    struct str name = s->subject->helo;
    struct addr address;

    (void)run;
    if (name.n == 0) {
        facts_set_absent(&s->facts, FACT_HELO_NAME);
        facts_set_absent(&s->facts, FACT_HELO_FORM);
        facts_set_absent(&s->facts, FACT_HELO_OURS);
        return CHECK_DONE;
    }
    enum helo_form form = helo_classify(name, &address);
    bool ours = address.family ? is_our_address(s->world->settings, &address) : is_our_name(s->world->settings, name);
    facts_set_text(&s->facts, FACT_HELO_NAME, name);
    facts_set_text(&s->facts, FACT_HELO_FORM, str_of(words[form]));
    facts_set_bool(&s->facts, FACT_HELO_OURS, ours);
    return CHECK_DONE;
}
