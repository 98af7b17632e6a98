/*
 * settings.c - the struct made from settings.def: its defaults, its end, and the one question that every recipient raises.
 */
#include "postern/base/settings.h"

void settings_defaults(struct settings *s)
{
    *s = (struct settings){0};
#define PRESET_BOOL(v) (v)
#define PRESET_COUNT(v) (v)
#define PRESET_SIZE(v) (v)
#define PRESET_DURATION(v) (v)
#define PRESET_TEXT(v) str_of(v)
#define PRESET_PATH(v) str_of(v)
#define SETTING(field, name, type, preset, minimum, maximum, group, help) s->field = PRESET_##type(preset);
#define SETTING_WORD(field, name, words, preset, group, help) s->field = (preset);
#include "postern/base/settings.def"
}

void settings_clear(struct settings *s)
{
    prefix_set_free(&s->relay_from);
    for (size_t i = 0; i < s->listen_count; i++)
        prefix_set_free(&s->listen[i].proxy_from);
    arena_clear(&s->arena);
    *s = (struct settings){0};
}

static bool domain_fits(struct str ours, struct str domain)
{
    bool below = ours.n > 0 && ours.p[0] == '.';
    return below ? domain.n > ours.n && str_ends_nocase(domain, ours) : str_eq_nocase(domain, ours);
}

unsigned settings_route(const struct settings *s, struct str domain)
{
    unsigned below = 0;
    for (size_t i = 0; i < s->route_count; i++)
        for (size_t k = 0; k < s->routes[i].domain_count; k++) {
            struct str ours = s->routes[i].domains[k];
            if (!domain_fits(ours, domain))
                continue;
            if (ours.p[0] != '.')
                return (unsigned)i + 1;
            below = below ? below : (unsigned)i + 1;
        }
    return below;
}

bool settings_domain_is_ours(const struct settings *s, struct str domain)
{
    if (domain.n == 0 || domain.p[0] == '[') /* an address literal is nobody's domain */
        return false;
    if (s->domains_any)
        return true;
    for (size_t i = 0; i < s->domain_count; i++)
        if (domain_fits(s->domains[i], domain))
            return true;
    return settings_route(s, domain) != 0;
}
