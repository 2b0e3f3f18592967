# Cross-compiling for Debian's ARM architectures: VIGIA_ARM is arm64 or armhf.
#
#   cmake -S . -B build/arm64 -G Ninja --toolchain toolchain-arm.cmake -DVIGIA_ARM=arm64
#
# Needs the packages of `cross/setup arm` and the libraries of `cross/deps build --target arm64`. Programs built this way run under
# qemu-user, so `ctest` works as on the host.

set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES VIGIA_ARM)
if(NOT VIGIA_ARM)
  set(VIGIA_ARM "$ENV{VIGIA_ARM}")
endif()
if(VIGIA_ARM STREQUAL "arm64")
  set(CMAKE_SYSTEM_PROCESSOR aarch64)
  set(_vigia_triplet aarch64-linux-gnu)
  set(_vigia_emulator qemu-aarch64-static)
  set(CMAKE_C_FLAGS_INIT "-mbranch-protection=standard")
elseif(VIGIA_ARM STREQUAL "armhf")
  set(CMAKE_SYSTEM_PROCESSOR arm)
  set(_vigia_triplet arm-linux-gnueabihf)
  set(_vigia_emulator qemu-arm-static)
  # Without these time_t ends in 2038 on Debian 12; the libraries are built with them too.
  set(CMAKE_C_FLAGS_INIT "-D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64")
else()
  message(FATAL_ERROR "VIGIA_ARM must be arm64 or armhf, found '${VIGIA_ARM}'")
endif()

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_LIBRARY_ARCHITECTURE ${_vigia_triplet})
set(CMAKE_C_COMPILER ${_vigia_triplet}-gcc)
set(CMAKE_STRIP ${_vigia_triplet}-strip)

find_program(VIGIA_QEMU ${_vigia_emulator})
if(VIGIA_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${VIGIA_QEMU};-L;/usr/${_vigia_triplet}")
endif()

# The host's own packages are for the host.
set(CMAKE_FIND_ROOT_PATH /usr/${_vigia_triplet})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
