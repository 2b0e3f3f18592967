# Sourced before a recipe, in the unpacked and patched source folder. Set by cross/deps:
#   CROSS     this folder's parent         OUT       where to install (include/, lib/, share/licences/)
#   DEPS      what `needs` installed       TARGET    host, arm64 or armhf
#   VARIANT   empty, asan or tsan          JOBS      how many compilers at once
case $TARGET in
host) TRIPLET=$(cc -dumpmachine) CC=cc AR=ar RANLIB=ranlib machine= ;;
arm64) TRIPLET=aarch64-linux-gnu machine=-mbranch-protection=standard ;;
armhf) TRIPLET=arm-linux-gnueabihf machine="-D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64" ;;
esac
if [ "$TARGET" != host ]; then
    CC=$TRIPLET-gcc AR=$TRIPLET-ar RANLIB=$TRIPLET-ranlib
fi

CFLAGS="-O2 -g1 -fPIC -ffunction-sections -fdata-sections -fstack-protector-strong $machine"
case $VARIANT in
'') CFLAGS="$CFLAGS -D_FORTIFY_SOURCE=2" ;;
asan) CFLAGS="$CFLAGS -fsanitize=address -fno-omit-frame-pointer" ;;
tsan) CFLAGS="$CFLAGS -fsanitize=thread -fno-omit-frame-pointer" ;;
esac
export CFLAGS

# Configures, builds and installs a CMake project: vg_cmake SOURCE [-DOPTION=VALUE...]
vg_cmake() {
    local source=$1 cross=()
    shift
    if [ "$TARGET" != host ]; then
        cross=(-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="${TRIPLET%%-*}" -DCMAKE_FIND_ROOT_PATH_MODE_PROGRAM=NEVER)
    fi
    # CMAKE_C_FLAGS comes from CFLAGS in the environment; "None" adds nothing of CMake's own.
    cmake -S "$source" -B vg-build -G Ninja -DCMAKE_BUILD_TYPE=None -DCMAKE_C_COMPILER="$CC" -DCMAKE_AR="$(command -v "$AR")" \
        -DCMAKE_RANLIB="$(command -v "$RANLIB")" -DCMAKE_INSTALL_PREFIX="$OUT" -DCMAKE_INSTALL_LIBDIR=lib "${cross[@]}" "$@"
    cmake --build vg-build -j "$JOBS"
    cmake --install vg-build
}

# vg_archive NAME OBJECT...
vg_archive() {
    local name=$1
    shift
    mkdir -p "$OUT/lib"
    $AR crs "$OUT/lib/$name" "$@"
}
