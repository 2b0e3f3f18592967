# The Debian archive holds the source tree (the amalgamation is made here, with the build machine's compiler);
# the alternative holds the amalgamation itself.
if [ ! -f sqlite3.c ]; then
    CC=cc CFLAGS= ./configure --disable-shared >configure.log
    make -s sqlite3.c sqlite3.h >/dev/null
fi

# FULL in both journal modes: an acknowledged row survives a power cut. Quoted names are never taken for strings.
$CC $CFLAGS -c sqlite3.c -o sqlite3.o \
    -DSQLITE_THREADSAFE=1 -DSQLITE_DQS=0 -DSQLITE_DEFAULT_SYNCHRONOUS=2 -DSQLITE_DEFAULT_WAL_SYNCHRONOUS=2 \
    -DSQLITE_DEFAULT_FOREIGN_KEYS=1 -DSQLITE_TRUSTED_SCHEMA=0 -DSQLITE_TEMP_STORE=2 -DSQLITE_LIKE_DOESNT_MATCH_BLOBS \
    -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_DEPRECATED -DSQLITE_OMIT_SHARED_CACHE \
    -DSQLITE_MAX_ATTACHED=2 -DHAVE_FDATASYNC=1 -DHAVE_USLEEP=1 -DHAVE_GMTIME_R=1 -DHAVE_LOCALTIME_R=1 -DHAVE_STRERROR_R=1
vg_archive libsqlite3.a sqlite3.o
install -D -m 644 sqlite3.h "$OUT/include/sqlite3.h"
