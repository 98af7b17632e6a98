#!/bin/bash
# The lints themselves: a small tree that is right passes, and each thing that is wrong in it is found by the lint that is for it.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failed=0

fresh() {
    rm -rf "${tree:?}"/*
    mkdir -p "$tree"/{src/one,src/two,include/postern/one,include/postern/two}
    printf '# rooms\none:\ntwo: one [sqlite3]\n' >"$tree/src/rooms.txt"
    echo 'project(x)' >"$tree/CMakeLists.txt"
    echo '# x' >"$tree/README.md"
    printf '/* one */\n#ifndef A\n#define A\n#include <stddef.h>\nextern size_t a;\n#endif\n' >"$tree/include/postern/one/a.h"
    printf '/* own */\n#ifndef O\n#define O\nextern int o;\n#endif\n' >"$tree/src/one/own.h"
    printf '/* two */\n#ifndef B\n#define B\n#include "postern/one/a.h"\n#endif\n' >"$tree/include/postern/two/b.h"
    printf '/* one */\n#include <sys/types.h>\n#include "own.h"\n#include "postern/one/a.h"\n' >"$tree/src/one/a.c"
    printf '/* two */\n#include <sqlite3.h>\n#include "postern/two/b.h"\n#include "postern/one/a.h"\n' >"$tree/src/two/b.c"
}

expect() { # good|bad LINT WHAT
    local result=good
    "$here/$2.sh" "$tree" >"$tree/said" 2>&1 || result=bad
    [ $result = "$1" ] || { echo "$2: $3: expected $1"; cat "$tree/said"; failed=1; }
    rm -f "$tree/said"
}

fresh
for lint in rooms headers files; do expect good $lint "the clean tree"; done

wrong() { # LINT WHAT FILE LINE: the line is added to the file
    fresh
    printf '%b\n' "$4" >>"$tree/$3"
    expect bad "$1" "$2"
}
wrong rooms 'a room that the row does not name' src/one/a.c '#include "postern/two/b.h"'
wrong rooms 'the same in a public header' include/postern/one/a.h '#include "postern/two/b.h"'
wrong rooms 'a library that the row does not name' src/one/a.c '#  include <sqlite3.h>'
wrong rooms 'a library that nobody knows' src/one/a.c '#include <zlib.h>'
wrong rooms 'a header of another folder' src/two/b.c '#include "../one/own.h"'
wrong rooms 'a local header that is not there' src/two/b.c '#include "own.h"'
wrong rooms 'a public header that is not there' src/two/b.c '#include "postern/one/none.h"'
wrong headers 'a header that needs another' include/postern/one/a.h 'extern uint8_t z;'
wrong headers 'a private header that needs another' src/one/own.h 'extern uint8_t z;'
wrong files 'a long file' src/one/a.c "$(yes 'extern int i;' | head -601)"
wrong files 'a word of what is left open' src/one/a.c '/* TO''DO: more */'
wrong files 'the path of a machine' src/one/a.c '/* see /home/''me/x */'
wrong files 'white space at the end' src/one/a.c 'extern int i; '
fresh
printf '\n/* late */\n' >"$tree/src/one/c.c"
expect bad files 'no comment first'
fresh
{ printf '/* one\n * long because it is a table */\n'; yes 'extern int i;' | head -601; } >"$tree/src/one/c.c"
expect good files 'a long file that says why'
fresh
mkdir "$tree/src/three"
printf '/* three */\n#include <stddef.h>\n' >"$tree/src/three/c.c"
expect bad rooms 'a folder that is no room'
[ $failed = 0 ] && echo "the lints find what they are for"
exit $failed
