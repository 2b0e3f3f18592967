# The third-party libraries as CMake targets.
#
#   include(cross/deps.cmake)
#   target_link_libraries(my_target PRIVATE vgdep::sqlite)
#
# Defines vgdep::coap mbedtls sqlite cjson tinycbor inih microhttpd cmocka, and on the host vgdep::rdkafka: those that deps.lock
# names for the architecture built for. Headers are SYSTEM; each target brings all it must be linked with. Each also brings its version floor as
# a definition (VG_FLOOR_SQLITE=3051003), for programs that check again at start what they were really linked with.
#
# VIGIA_DEPS_VARIANT may be empty, "asan", "tsan" or "fuzz": libraries built with that sanitizer (cross/deps build --asan).
#
# Sets VIGIA_DEPS_PREFIX and VIGIA_DEPS_TARGET.

set(VIGIA_DEPS_VARIANT "" CACHE STRING "third-party libraries: empty, asan, tsan or fuzz")

if(CMAKE_CROSSCOMPILING)
  set(VIGIA_DEPS_TARGET "${VIGIA_ARM}")
else()
  set(VIGIA_DEPS_TARGET host)
endif()

set(_vgdep_command "${CMAKE_CURRENT_LIST_DIR}/deps" path --target "${VIGIA_DEPS_TARGET}")
if(VIGIA_DEPS_VARIANT)
  list(APPEND _vgdep_command "--${VIGIA_DEPS_VARIANT}")
endif()
execute_process(
  COMMAND ${_vgdep_command}
  OUTPUT_VARIABLE VIGIA_DEPS_PREFIX
  ERROR_VARIABLE _vgdep_error
  RESULT_VARIABLE _vgdep_status
  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_STRIP_TRAILING_WHITESPACE)
if(NOT _vgdep_status EQUAL 0)
  message(FATAL_ERROR "third-party libraries are not built: ${_vgdep_error}")
endif()
# A changed lock file, recipe or patch names another prefix: configure again.
file(GLOB_RECURSE _vgdep_inputs CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/recipes/*.sh" "${CMAKE_CURRENT_LIST_DIR}/patches/*.patch"
     "${CMAKE_CURRENT_LIST_DIR}/mbedtls/*.h")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/deps" "${CMAKE_CURRENT_LIST_DIR}/deps.lock" ${_vgdep_inputs})

# vgdep_floor(NAME FLOOR HEADER REGEX...): stops when the version that the installed header states is under FLOOR.
# Each REGEX captures one part of the version, or one captures all of it.
function(vgdep_floor name floor header)
  file(READ "${VIGIA_DEPS_PREFIX}/include/${header}" text)
  set(parts "")
  foreach(regex IN LISTS ARGN)
    if(NOT text MATCHES "${regex}")
      message(FATAL_ERROR "${name}: cannot find its version in ${VIGIA_DEPS_PREFIX}/include/${header}")
    endif()
    set(part "${CMAKE_MATCH_1}")
    if(name STREQUAL "librdkafka") # two hexadecimal digits each
      math(EXPR part "0x${part}")
    endif()
    list(APPEND parts "${part}")
  endforeach()
  list(JOIN parts "." found)
  if(found VERSION_LESS floor)
    message(FATAL_ERROR "${name} ${found} is too old: ${floor} or newer is needed (see cross/deps.lock)")
  endif()
  message(STATUS "${name} ${found} (floor ${floor})")
endfunction()

# vgdep_target(NAME ARCHIVES a.a b.a [LINK more...] [DEFINE X=Y...] [INCLUDE subfolder...])
function(vgdep_target name)
  cmake_parse_arguments(arg "" "" "ARCHIVES;LINK;DEFINE;INCLUDE" ${ARGN})
  set(files "")
  foreach(archive IN LISTS arg_ARCHIVES)
    if(NOT EXISTS "${VIGIA_DEPS_PREFIX}/lib/${archive}")
      message(FATAL_ERROR "vgdep::${name}: ${VIGIA_DEPS_PREFIX}/lib/${archive} is missing")
    endif()
    list(APPEND files "${VIGIA_DEPS_PREFIX}/lib/${archive}")
  endforeach()
  set(includes "${VIGIA_DEPS_PREFIX}/include")
  foreach(folder IN LISTS arg_INCLUDE)
    list(APPEND includes "${VIGIA_DEPS_PREFIX}/include/${folder}")
  endforeach()
  add_library(vgdep::${name} INTERFACE IMPORTED GLOBAL)
  set_target_properties(
    vgdep::${name}
    PROPERTIES INTERFACE_LINK_LIBRARIES "${files};${arg_LINK}"
               INTERFACE_INCLUDE_DIRECTORIES "${includes}"
               INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${includes}"
               INTERFACE_COMPILE_DEFINITIONS "${arg_DEFINE}")
endfunction()

vgdep_floor("Mbed TLS" 3.6.6 mbedtls/build_info.h "MBEDTLS_VERSION_STRING +\"([0-9.]+)\"")
vgdep_target(mbedtls ARCHIVES libmbedtls.a libmbedx509.a libmbedcrypto.a DEFINE VG_FLOOR_MBEDTLS=0x03060600)

vgdep_floor("libcoap" 4.3.5 coap3/coap.h "LIBCOAP_PACKAGE_VERSION +\"([0-9.]+)\"")
vgdep_target(coap ARCHIVES libcoap-3.a LINK vgdep::mbedtls DEFINE VG_FLOOR_LIBCOAP=4003005)

vgdep_floor("SQLite" 3.51.3 sqlite3.h "define SQLITE_VERSION +\"([0-9.]+)\"")
vgdep_target(sqlite ARCHIVES libsqlite3.a LINK m pthread DEFINE VG_FLOOR_SQLITE=3051003)

vgdep_floor("cJSON" 1.7.19 cjson/cJSON.h "CJSON_VERSION_MAJOR ([0-9]+)" "CJSON_VERSION_MINOR ([0-9]+)" "CJSON_VERSION_PATCH ([0-9]+)")
vgdep_target(cjson ARCHIVES libcjson.a LINK m DEFINE VG_FLOOR_CJSON=1007019)

vgdep_target(tinycbor ARCHIVES libtinycbor.a LINK m INCLUDE tinycbor)
vgdep_target(inih ARCHIVES libinih.a)
vgdep_target(microhttpd ARCHIVES libmicrohttpd.a LINK pthread)
vgdep_target(cmocka ARCHIVES libcmocka.a)

if(VIGIA_DEPS_TARGET STREQUAL host)
  vgdep_floor("librdkafka" 2.10.0 librdkafka/rdkafka.h "RD_KAFKA_VERSION +0x([0-9a-f][0-9a-f])" "RD_KAFKA_VERSION +0x[0-9a-f][0-9a-f]([0-9a-f][0-9a-f])"
              "RD_KAFKA_VERSION +0x[0-9a-f][0-9a-f][0-9a-f][0-9a-f]([0-9a-f][0-9a-f])")
  vgdep_target(rdkafka ARCHIVES librdkafka.a LINK ssl crypto z zstd m dl pthread DEFINE VG_FLOOR_RDKAFKA=0x020a0000)
endif()
