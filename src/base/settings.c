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
    arena_clear(&s->arena);
    *s = (struct settings){0};
}

bool settings_domain_is_ours(const struct settings *s, struct str domain)
{
    if (domain.n == 0 || domain.p[0] == '[') /* an address literal is nobody's domain */
        return false;
    if (s->domains_any)
        return true;
    for (size_t i = 0; i < s->domain_count; i++) {
        struct str ours = s->domains[i];
        if (ours.n > 0 && ours.p[0] == '.' ? domain.n > ours.n && str_ends_nocase(domain, ours) : str_eq_nocase(domain, ours))
            return true;
    }
    return false;
}
