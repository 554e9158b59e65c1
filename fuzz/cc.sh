#!/usr/bin/env bash
# The C compiler of fuzzing: CRoaring is built so that the fuzzer sees its comparisons and the sanitizer its accesses. Other C is built as
# ever, for some of it (SQLite, within a macro of sqlx) is loaded by the compiler, where no sanitizer is.
case "$*" in
*roaring*) exec cc -fsanitize=address -fsanitize-coverage=trace-cmp "$@" ;;
*) exec cc "$@" ;;
esac
