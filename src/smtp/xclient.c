/*
 * xclient.c - the XCLIENT command: what a server offers to take, of what there is to tell.
 *
 * "NAME=mail.example.com ADDR=203.0.113.9". An attribute whose value is not there is told as [UNAVAILABLE], or [TEMPUNAVAIL] while DNS did not
 * answer; left out, the server would keep the proxy's own.
 */
#include "postern/smtp/xclient.h"

#include "postern/base/codec.h"

bool xclient_offers(struct str offered, struct str attribute)
{
    struct str one;
    while (str_split(&offered, ' ', &one))
        if (str_eq_nocase(one, attribute))
            return true;
    return false;
}

static void put(struct buf *out, struct str offered, struct str attribute, struct str value)
{
    if (!xclient_offers(offered, attribute))
        return;
    buf_char(out, ' ');
    buf_str(out, attribute);
    buf_char(out, '=');
    xtext_encode(out, value.n ? value : STR("[UNAVAILABLE]"));
}

static void put_addr(struct buf *out, struct str offered, struct str attribute, const struct addr *a)
{
    struct buf value = {0};
    char text[ADDR_TEXT];
    if (a->family)
        buf_printf(&value, "%s%s", a->family == 6 ? "IPV6:" : "", addr_format(a, text));
    put(out, offered, attribute, buf_view(&value));
    buf_free(&value);
}

static void put_port(struct buf *out, struct str offered, struct str attribute, const struct addr_port *of)
{
    struct buf value = {0};
    if (of->addr.family)
        buf_printf(&value, "%u", of->port);
    put(out, offered, attribute, buf_view(&value));
    buf_free(&value);
}

void xclient_write(struct buf *out, struct str offered, const struct xclient *x)
{
    buf_cstr(out, "XCLIENT");
    put(out, offered, STR("NAME"), !x->name.n && x->name_pending ? STR("[TEMPUNAVAIL]") : x->name);
    put_port(out, offered, STR("PORT"), &x->peer);
    put(out, offered, STR("PROTO"), x->esmtp ? STR("ESMTP") : STR("SMTP"));
    put(out, offered, STR("HELO"), x->helo);
    if (x->local.addr.family) {
        put_addr(out, offered, STR("DESTADDR"), &x->local.addr);
        put_port(out, offered, STR("DESTPORT"), &x->local);
    }
    put_addr(out, offered, STR("ADDR"), &x->peer.addr);
}
