# Sourced after common.sh for VARIANT=fuzz: libFuzzer sees where the libraries go, and AddressSanitizer what they do.
CC=clang-14
CFLAGS="$CFLAGS -fsanitize=address,fuzzer-no-link -fno-omit-frame-pointer"
export CFLAGS
