/* The lexer: every token, lines, errors, recovery, and any text cut anywhere. */
#include "postern/base/codec.h"
#include "postern/base/lexer.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void put_token(struct buf *out, struct token t)
{
    static const char *const words[] = {[TOKEN_END] = "END", [TOKEN_EOL] = ";", [TOKEN_COMMA] = ",", [TOKEN_COLON] = ":",
                                        [TOKEN_OPEN_BRACE] = "{", [TOKEN_CLOSE_BRACE] = "}", [TOKEN_OPEN_PAREN] = "(",
                                        [TOKEN_CLOSE_PAREN] = ")", [TOKEN_EQ] = "=", [TOKEN_NE] = "!=", [TOKEN_LT] = "<",
                                        [TOKEN_LE] = "<=", [TOKEN_GT] = ">", [TOKEN_GE] = ">=", [TOKEN_BAD] = "BAD"};
    if (out->n > 0)
        buf_char(out, ' ');
    if (t.kind == TOKEN_WORD || t.kind == TOKEN_STRING) {
        buf_char(out, t.kind == TOKEN_WORD ? 'w' : 's');
        buf_char(out, '\'');
        escape_text(out, t.text);
        buf_char(out, '\'');
    } else {
        buf_cstr(out, words[t.kind]);
    }
}

/* All tokens as text; then the complaints' messages, each behind a '|'. */
static char *tokens(struct str text)
{
    struct source *source = source_new("test", text);
    struct arena arena = {0};
    struct diags diags = {0};
    struct lexer l;
    struct buf out = {0};
    lexer_init(&l, source, &arena, &diags);
    size_t end_of_last = 0, count = 0;
    while (l.current.kind != TOKEN_END) {
        struct token t = lexer_take(&l);
        put_token(&out, t);
        cr_assert(t.span.n >= 1 && t.span.source == source);
        cr_assert(t.span.at <= text.n && (t.kind == TOKEN_EOL || t.kind == TOKEN_BAD || t.span.at >= end_of_last));
        end_of_last = t.span.at + t.span.n;
        cr_assert_lt(++count, text.n + 3, "it ends");
    }
    cr_assert_eq(lexer_take(&l).kind, TOKEN_END);
    cr_assert_eq(l.current.kind, TOKEN_END, "the end stays");
    for (size_t i = 0; i < diags.count; i++)
        buf_printf(&out, " | %s", diags.list[i].message);
    diag_clear(&diags);
    arena_clear(&arena);
    source_free(&source);
    return buf_steal(&out);
}

static void check(struct str text, const char *expected)
{
    char *got = tokens(text);
    cr_assert_str_eq(got, expected, "%.*s\ngave     %s\nexpected %s", STR_ARG(text), got, expected);
    free(got);
}

static void check_all(const char *const cases[][2], size_t n)
{
    for (size_t i = 0; i < n; i++)
        check(str_of(cases[i][0]), cases[i][1]);
}

#define CHECK_ALL(cases) check_all(cases, sizeof cases / sizeof cases[0])

Test(lexer, words_and_signs)
{
    static const char *const cases[][2] = {
        {"", ""}, {"\n\n  \n", ""}, {"a", "w'a' ;"}, {"a\n", "w'a' ;"}, {"a b\nc\n", "w'a' w'b' ; w'c' ;"},
        {"listen *:25", "w'listen' w'*:25' ;"}, {"backend [2001:db8::1]:25", "w'backend' w'[2001:db8::1]:25' ;"},
        {"192.0.2.0/24, 2001:db8::/32", "w'192.0.2.0/24' , w'2001:db8::/32' ;"}, {"a,b", "w'a' , w'b' ;"},
        {"127.0.0.2-127.0.0.3 -4 +1 50% u@d 1h30m x_y", "w'127.0.0.2-127.0.0.3' w'-4' w'+1' w'50%' w'u@d' w'1h30m' w'x_y' ;"},
        {"= != < <= > >=", "= != < <= > >= ;"}, {"a=b!=c<d<=e>f>=g", "w'a' = w'b' != w'c' < w'd' <= w'e' > w'f' >= w'g' ;"},
        {"(a){b}", "( w'a' ) { w'b' } ;"}, {"k\xc3\xa4se \xff", "w'k\\xc3\\xa4se' w'\\xff' ;"}, {"\xef\xbb\xbf" "a", "w'a' ;"},
        {"a\r\nb\r\n", "w'a' ; w'b' ;"}, {"a\tb", "w'a' w'b' ;"},
    };
    CHECK_ALL(cases);
}

Test(lexer, colons)
{
    static const char *const cases[][2] = {
        {"rule name: accept", "w'rule' w'name' : w'accept' ;"}, {"a:b", "w'a:b' ;"}, {"a:", "w'a' : ;"}, {"a:\n", "w'a' : ;"},
        {"a:\r\n", "w'a' : ;"}, {"a :", "w'a' : ;"}, {":", ": ;"}, {": a", ": w'a' ;"}, {":a", "w':a' ;"},
        {"C: EHLO", "w'C' : w'EHLO' ;"},
        {"2001:db8::", "w'2001:db8::' ;"}, {":: x", "w'::' w'x' ;"}, {"::1", "w'::1' ;"}, {"a:,b", "w'a:' , w'b' ;"},
        {"a:\t", "w'a' : ;"},
    };
    CHECK_ALL(cases);
}

Test(lexer, lines)
{
    static const char *const cases[][2] = {
        {"a \\\n b\nc", "w'a' w'b' ; w'c' ;"}, {"a \\  \r\n b", "w'a' w'b' ;"}, {"a\\\nb", "w'a' w'b' ;"}, {"a \\", "w'a' ;"},
        {"{ a,\n b }\nc", "{ w'a' , w'b' } ; w'c' ;"}, {"(\n(\n)\n)\nc", "( ( ) ) ; w'c' ;"}, {"{\n\n# x\n}\n", "{ } ;"},
        {"a )\nb", "w'a' ) ; w'b' ;"}, {"}\n{\n}\n", "} ; { } ;"}, {"{ a\n", "{ w'a' ;"}, {"\\\n\\\na", "w'a' ;"},
        {"a \\\n\nb", "w'a' ; w'b' ;"},
    };
    CHECK_ALL(cases);
}

Test(lexer, comments)
{
    static const char *const cases[][2] = {
        {"# all\na # rest\n#x\nb", "w'a' ; w'b' ;"}, {"a #", "w'a' ;"}, {"a \"#\" # x \" y", "w'a' s'#' ;"}, {"#", ""},
        {"\t# x", ""},
        {"a # x \\\nb", "w'a' ; w'b' ;"}, {"a#b", "w'a' BAD w'b' ; | '#' in the middle of a word"}, {"{ # x }\n }", "{ } ;"},
        {"a:# x", "w'a:' BAD w'x' ; | '#' in the middle of a word"}, {"\r\n# x", ""},
    };
    CHECK_ALL(cases);
}

Test(lexer, strings)
{
    static const char *const cases[][2] = {
        {"\"\"", "s'' ;"}, {"\"a b\"", "s'a b' ;"}, {"\"a\"\"b\"", "s'a' s'b' ;"}, {"x\"y\"z", "w'x' s'y' w'z' ;"},
        {"\"\\\"\\\\\\n\\t\"", "s'\"\\\\\\n\\t' ;"}, {"\"tab\there\"", "s'tab\\there' ;"},
        {"\"\xc3\xa4 {x}, (y)\"", "s'\\xc3\\xa4 {x}, (y)' ;"},
        {"\"open", "BAD ; | unterminated string"}, {"\"open\nb", "BAD ; w'b' ; | unterminated string"},
        {"\"open\r\nb", "BAD ; w'b' ; | unterminated string"}, {"\"", "BAD ; | unterminated string"},
        {"\"a\\\"", "BAD ; | unterminated string"},
        {"\"\\x41\" b", "BAD w'b' ; | unknown escape in a string"}, {"\"\\\nb", "BAD ; w'b' ; | unknown escape in a string"},
        {"\"\\", "BAD ; | unknown escape in a string"}, {"\"a\\q b\\\" c\" d", "BAD w'd' ; | unknown escape in a string"},
        {"\"\\q\\q\\q\" d", "BAD w'd' ; | unknown escape in a string"},
        {"\"a\x01\x02\" d", "BAD w'd' ; | control character in a string"},
        {"\"a\x7f\"", "BAD ; | control character in a string"}, {"\"a\rb\"", "BAD ; | control character in a string"},
        {"\"\\q\nb", "BAD ; w'b' ; | unknown escape in a string"},
    };
    CHECK_ALL(cases);
    check(STR("\"a\0b\" c"), "BAD w'c' ; | control character in a string");
}

Test(lexer, what_it_refuses)
{
    static const char *const cases[][2] = {
        {"a == b", "w'a' BAD w'b' ; | unknown operator '=='"}, {"a ! b", "w'a' BAD w'b' ; | unexpected character '!'"},
        {"a ; b", "w'a' BAD w'b' ; | unexpected character ';'"}, {"?", "BAD ; | unexpected character '?'"},
        {"'a'", "BAD w'a' BAD ; | unexpected character ''' | unexpected character '''"}, {"\x01", "BAD ; | control character"},
        {"a \\ b", "w'a' BAD w'b' ; | unexpected character '\\'"}, {"a\x7f", "w'a' BAD ; | control character"},
        {"a\rb", "w'a' BAD w'b' ; | control character"},
        {"&|~$^`", "BAD BAD BAD BAD BAD BAD ; | unexpected character '&' | unexpected character '|' "
         "| unexpected character '~' | unexpected character '$' | unexpected character '^' | unexpected character '`'"},
    };
    CHECK_ALL(cases);
    check(STR("a\0b"), "w'a' BAD w'b' ; | control character");
}

Test(lexer, spans_and_hints)
{
    struct source *source = source_new("x.policy", STR("rule a: say \"hi\\q\"\n"));
    struct arena arena = {0};
    struct diags diags = {0};
    struct lexer l;
    lexer_init(&l, source, &arena, &diags);
    lexer_take(&l);
    struct token name = lexer_take(&l), colon = lexer_take(&l), say = lexer_take(&l);
    cr_assert(str_eq(span_text(name.span), STR("a")));
    cr_assert(str_eq(span_text(colon.span), STR(":")));
    cr_assert(str_eq(span_text(say.span), STR("say")));
    cr_assert_eq(diags.count, 1);
    cr_assert_str_eq(diags.list[0].text, "x.policy:1:16: error: unknown escape in a string\n"
                                         "  rule a: say \"hi\\q\"\n"
                                         "                 ^~\n"
                                         "a string knows \\\" \\\\ \\n and \\t; write \\\\ for a backslash\n");
    diag_clear(&diags);
    arena_clear(&arena);
    source_free(&source);
}

Test(lexer, accept)
{
    struct source *source = source_new("f", STR("rule \"rule\" , Rule"));
    struct arena arena = {0};
    struct lexer l;
    lexer_init(&l, source, &arena, NULL);
    cr_assert_not(lexer_accept_word(&l, "rul"));
    cr_assert(lexer_is_word(&l, "rule"));
    cr_assert(lexer_accept_word(&l, "rule"));
    cr_assert_not(lexer_accept_word(&l, "rule"), "a string is no word");
    cr_assert(lexer_accept(&l, TOKEN_STRING));
    cr_assert_not(lexer_accept(&l, TOKEN_COLON));
    cr_assert(lexer_accept(&l, TOKEN_COMMA));
    cr_assert_not(lexer_accept_word(&l, "rule"), "case matters");
    cr_assert(lexer_accept(&l, TOKEN_WORD));
    cr_assert(lexer_accept(&l, TOKEN_EOL));
    cr_assert(lexer_accept(&l, TOKEN_END));
    arena_clear(&arena);
    source_free(&source);
}

/* Takes `before` tokens, gives the line up, and tells which word comes then. */
static void check_skip(const char *text, int before, const char *word)
{
    struct source *source = source_new("f", str_of(text));
    struct arena arena = {0};
    struct diags diags = {0};
    struct lexer l;
    lexer_init(&l, source, &arena, &diags);
    for (int i = 0; i < before; i++)
        lexer_take(&l);
    size_t complaints = diags.count;
    lexer_skip_line(&l);
    if (word)
        cr_assert(lexer_is_word(&l, word), "%s: at %.*s", text, STR_ARG(l.current.text));
    else
        cr_assert_eq(l.current.kind, TOKEN_END, "%s", text);
    cr_assert_eq(l.depth, 0);
    cr_assert_eq(diags.count, complaints, "a line that was given up is not complained of again");
    diag_clear(&diags);
    arena_clear(&arena);
    source_free(&source);
}

Test(lexer, skip_line)
{
    check_skip("a b c\nnext", 1, "next");
    check_skip("a\nnext", 1, "next");                    /* at the end of line itself */
    check_skip("a b c", 1, NULL);
    check_skip("", 0, NULL);
    check_skip("a { b,\n c }\nnext", 3, "next");         /* inside brackets that close */
    check_skip("a { b,\n c }\nnext", 1, "next");         /* before them */
    check_skip("a ( b\nc d\nnext", 2, "c");              /* a forgotten bracket ends with its line */
    check_skip("a ( b\nnext x\nlast", 1, "next");
    check_skip("a ( \"x\ny\nnext", 1, "y");
    check_skip("a b ; ? \"x\nnext", 1, "next");          /* what is wrong in it is not told */
    check_skip("a } b\nnext", 1, "next");
}

/* The text up to every byte gives the tokens of the whole, as far as it goes; nothing is read beyond the cut. */
Test(lexer, cut_at_every_byte)
{
    static const char text[] = "# policy\nlist partners domain { bank.example,\n  .gov.example }\nrule zen: score -8 \\\n when dnsbl.zen in "
                               "127.0.0.2-127.0.0.3 and (helo.name != \"a\\\"b\") # end\nlisten *:25, [::1]:25\n";
    char *whole = tokens(str_of(text));
    for (size_t n = 0; n < sizeof text; n++) {
        char *got = tokens((struct str){text, n});
        char *bar = strstr(got, " | ");
        size_t same = bar ? (size_t)(bar - got) : strlen(got);
        for (int words = 0; words < 2 && same > 0; words++) { /* the token at the cut and the end of line may differ */
            while (same > 0 && got[--same] != ' ')
                ;
        }
        while (same > 0 && got[same - 1] != ' ')
            same--;
        cr_assert(strncmp(got, whole, same) == 0, "cut at %zu: %s", n, got);
        free(got);
    }
    free(whole);
}

/* Any bytes: it ends, and each complaint has a place. */
Test(lexer, any_bytes)
{
    static const char alphabet[] = "ab:\\\"#{}()=!<>, \t\r\n\x01\xff;";
    uint32_t x = 99;
    for (int round = 0; round < 3000; round++) {
        char text[40];
        size_t n = (size_t)(round % 40);
        for (size_t i = 0; i < n; i++) {
            x = x * 1664525 + 1013904223;
            text[i] = round % 3 ? alphabet[(x >> 16) % (sizeof alphabet - 1)] : (char)(x >> 16);
        }
        free(tokens((struct str){text, n}));
        struct source *source = source_new("f", (struct str){text, n});
        struct arena arena = {0};
        struct lexer l;
        lexer_init(&l, source, &arena, NULL);
        for (size_t lines = 0; l.current.kind != TOKEN_END; lines++) {
            cr_assert_lt(lines, n + 2);
            lexer_skip_line(&l);
        }
        arena_clear(&arena);
        source_free(&source);
    }
}

Test(lexer, names)
{
    for (int kind = TOKEN_END; kind <= TOKEN_BAD; kind++)
        cr_assert(token_name((enum token_kind)kind) && token_name((enum token_kind)kind)[0]);
    cr_assert_str_eq(token_name(TOKEN_COMMA), "','");
    cr_assert_str_eq(token_name(TOKEN_EOL), "end of line");
}
