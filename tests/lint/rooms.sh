#!/bin/bash
# Every #include in src/ and include/postern/ against src/rooms.txt: a room includes itself and the rooms of its row; a library outside the
# house is included only in the room whose row names it in [brackets]; a header "x.h" without a path lies beside its source.
#
#   tests/lint/rooms.sh [ROOT]
#
# The table below says which headers belong to which library. A <header.h> that is in neither list is reported, so that no library comes
# in unnoticed.
set -eu
cd "${1:-"$(dirname "${BASH_SOURCE[0]}")/../.."}"

find src include/postern -type f \( -name '*.c' -o -name '*.h' -o -name '*.def' \) -print0 | sort -z |
    xargs -0 grep -nHE '^[[:space:]]*#[[:space:]]*include' |
    awk -v table=src/rooms.txt '
BEGIN {
    library["event2/"] = library["event.h"] = "libevent_core"
    library["ares"] = "libcares"
    library["openssl/"] = "openssl libssl libcrypto"
    library["hiredis/"] = "hiredis"
    library["spf2/"] = "libspf2 spf2"
    library["libpsl.h"] = "libpsl"
    library["opendkim/"] = library["dkim.h"] = "opendkim"
    library["sqlite3"] = "sqlite3"
    library["idn2.h"] = "libidn2"
    library["systemd/"] = "libsystemd"

    standard = " assert ctype dirent endian errno fcntl float getopt grp inttypes iso646 limits locale malloc math netdb poll pthread pwd sched " \
               "setjmp signal stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string strings syslog termios time " \
               "unistd wchar "
    while ((getline line < table) > 0) {
        if (line !~ /^[a-z]+:/)
            continue
        room = line
        sub(/:.*/, "", room)
        sub(/^[a-z]+:/, "", line)
        known[room] = 1
        allowed[room, room] = 1
        n = split(line, word, /[ \t]+/)
        for (i = 1; i <= n; i++)
            allowed[room, word[i]] = 1
    }
}

function wrong(why) { print where ": " why; failed = 1 }

function judge_library(header,    prefix, names, n, i, good) {
    for (prefix in library) {
        if (index(header, prefix) != 1)
            continue
        n = split(library[prefix], names, " ")
        for (i = 1; i <= n; i++)
            good = good || (room, "[" names[i] "]") in allowed
        if (!good)
            wrong("<" header "> belongs to " names[1] ", which the row of " room " in src/rooms.txt does not name")
        return
    }
    if (header ~ /^(sys|net|netinet|arpa|linux|sanitizer)\/[a-z0-9_]+\.h$/)
        return
    name = header
    sub(/\.h$/, "", name)
    if (index(standard, " " name " ") == 0)
        wrong("<" header "> is of no library that tests/lint/rooms.sh knows")
}

{
    split($0, part, ":")
    file = part[1]
    where = file ":" part[2]
    seen++
    room = file
    sub(/^(src|include\/postern)\//, "", room)
    sub(/\/.*/, "", room)
    if (!(room in known)) {
        wrong("there is no room " room " in src/rooms.txt")
        next
    }
    if (match($0, /<[^>]+>/)) {
        judge_library(substr($0, RSTART + 1, RLENGTH - 2))
    } else if (match($0, /"[^"]+"/)) {
        header = substr($0, RSTART + 1, RLENGTH - 2)
        if (header ~ /^postern\/[a-z]+\//) {
            split(header, piece, "/")
            if (!((room, piece[2]) in allowed))
                wrong("room " room " may not include " header)
            if (system("test -f include/" header) != 0)
                wrong("include/" header " does not exist")
        } else if (header ~ /\//) {
            wrong("\"" header "\": a header of another folder goes through include/postern/")
        } else if (file ~ /^include\//) {
            wrong("\"" header "\": a public header includes postern/ROOM/ headers only")
        } else if (system("test -f src/" room "/" header) != 0) {
            wrong("\"" header "\" does not lie in src/" room)
        }
    } else {
        wrong("cannot read this #include")
    }
}

END {
    if (!seen) {
        print "no #include seen at all"
        failed = 1
    }
    exit failed
}'
