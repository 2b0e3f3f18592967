# The house rules as CMake functions.
#
#   vigia_module(NAME LAYER n SIDE shared|edge|collector SRCS ... [DEPS ...] [LIBS ...])   a library module
#   vigia_program(NAME LAYER n SIDE ... SRCS ... [DEPS ...] [LIBS ...])                    an executable
#   vigia_test(NAME SRCS ... [DEPS ...] [LIBS ...] [LABELS ...] [TIMEOUT s] [ARGS ...])    one test program
#   vigia_test_helper(NAME SRCS ... [DEPS ...] [LIBS ...])                                 a program that a test runs
#
# A module may use only modules of a strictly lower layer, on its own side or shared. LIBS names third-party targets
# (vgdep::...) and system libraries; DEPS names modules. Everything that may break the layering goes through here:
# tests/gate refuses a target_link_libraries() anywhere else in the product.

set(VIGIA_WARNINGS -Wall -Wextra -Wconversion -Wshadow -Wvla -Wmissing-prototypes -Wstrict-prototypes
    -Wpointer-arith -Wformat=2 -Wno-format-zero-length -Wundef -Werror)
set(VIGIA_HARDENING -fstack-protector-strong -fno-common -fPIE)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" OR CMAKE_C_COMPILER_VERSION VERSION_GREATER_EQUAL 16)
  list(APPEND VIGIA_HARDENING -ftrivial-auto-var-init=zero) # clang before 16 knows it only behind another flag
endif()

add_library(vigia_flags INTERFACE)
target_compile_features(vigia_flags INTERFACE c_std_11)
target_compile_definitions(vigia_flags INTERFACE _GNU_SOURCE VIGIA_VERSION="${PROJECT_VERSION}")
target_compile_options(vigia_flags INTERFACE ${VIGIA_WARNINGS} ${VIGIA_HARDENING} -ffunction-sections -fdata-sections)
target_link_options(vigia_flags INTERFACE -pie -Wl,-z,relro,-z,now -Wl,--gc-sections)
if(NOT CMAKE_C_FLAGS MATCHES "-O0" AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug" AND NOT VIGIA_SANITIZE)
  target_compile_options(vigia_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
if(VIGIA_SANITIZE)
  target_compile_options(vigia_flags INTERFACE -fsanitize=${VIGIA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    # Its guesses at lengths do not see through the instrumentation; the plain build warns of what is real.
    target_compile_options(vigia_flags INTERFACE -Wno-format-truncation -Wno-maybe-uninitialized)
  endif()
  target_link_options(vigia_flags INTERFACE -fsanitize=${VIGIA_SANITIZE})
endif()
if(VIGIA_FUZZ)
  target_compile_options(vigia_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(vigia_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(VIGIA_COVERAGE)
  target_compile_options(vigia_flags INTERFACE --coverage)
  target_link_options(vigia_flags INTERFACE --coverage)
endif()
if(VIGIA_FAULTS)
  target_compile_definitions(vigia_flags INTERFACE VIGIA_FAULTS)
  include(${CMAKE_SOURCE_DIR}/tests/sweep/interpose.cmake)
endif()
if(CMAKE_SIZEOF_VOID_P EQUAL 4)
  target_compile_definitions(vigia_flags INTERFACE _TIME_BITS=64 _FILE_OFFSET_BITS=64)
endif()

set_property(GLOBAL PROPERTY VIGIA_HOUSE "")

# Refuses DEPS that the layer rule does not allow, and notes the edge for docs/architecture.md.
function(vigia_check_deps name layer side)
  foreach(dep IN LISTS ARGN)
    if(NOT TARGET ${dep})
      message(FATAL_ERROR "vigia: module '${name}' uses '${dep}', which is not declared (yet): declare lower layers first")
    endif()
    get_target_property(dep_layer ${dep} VIGIA_LAYER)
    get_target_property(dep_side ${dep} VIGIA_SIDE)
    if(NOT dep_layer MATCHES "^[0-9]+$")
      message(FATAL_ERROR "vigia: module '${name}' uses '${dep}', which is not a module: third-party targets go to LIBS")
    endif()
    if(NOT dep_layer LESS layer)
      message(FATAL_ERROR
        "vigia: module '${name}' (layer ${layer}) may not use '${dep}' (layer ${dep_layer}): only lower layers")
    endif()
    if(NOT dep_side STREQUAL "shared" AND NOT dep_side STREQUAL side)
      message(FATAL_ERROR
        "vigia: module '${name}' (side ${side}) may not use '${dep}' (side ${dep_side}): only its own side or shared")
    endif()
    set_property(GLOBAL APPEND PROPERTY VIGIA_HOUSE "edge ${name} ${dep}")
  endforeach()
endfunction()

function(vigia_declare name kind layer side)
  if(NOT side MATCHES "^(shared|edge|collector)$")
    message(FATAL_ERROR "vigia: module '${name}': SIDE is '${side}', accepted: shared, edge, collector")
  endif()
  if(NOT layer MATCHES "^[0-9]+$")
    message(FATAL_ERROR "vigia: module '${name}': LAYER is '${layer}', accepted: a number")
  endif()
  set_target_properties(${name} PROPERTIES VIGIA_LAYER ${layer} VIGIA_SIDE ${side})
  file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  set_property(GLOBAL APPEND PROPERTY VIGIA_HOUSE "node ${name} ${kind} ${layer} ${side} ${folder}")
endfunction()

function(vigia_module name)
  cmake_parse_arguments(M "" "LAYER;SIDE" "SRCS;DEPS;LIBS" ${ARGN})
  if(M_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "vigia: module '${name}': unknown argument '${M_UNPARSED_ARGUMENTS}'")
  endif()
  add_library(${name} STATIC ${M_SRCS})
  vigia_declare(${name} module "${M_LAYER}" "${M_SIDE}")
  vigia_check_deps(${name} ${M_LAYER} ${M_SIDE} ${M_DEPS})
  if(IS_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/include)
    target_include_directories(${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/include)
  endif()
  target_link_libraries(${name} PUBLIC ${M_DEPS} PRIVATE vigia_flags ${M_LIBS})
endfunction()

function(vigia_program name)
  cmake_parse_arguments(M "" "LAYER;SIDE" "SRCS;DEPS;LIBS" ${ARGN})
  if(M_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "vigia: program '${name}': unknown argument '${M_UNPARSED_ARGUMENTS}'")
  endif()
  add_executable(${name} ${M_SRCS})
  vigia_declare(${name} program "${M_LAYER}" "${M_SIDE}")
  vigia_check_deps(${name} ${M_LAYER} ${M_SIDE} ${M_DEPS})
  target_link_libraries(${name} PRIVATE vigia_flags ${M_DEPS} ${M_LIBS})
  if(VIGIA_FAULTS)
    target_sources(${name} PRIVATE $<TARGET_OBJECTS:vigia_interpose>)
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endfunction()

# What a test of a build with sanitizers is started through: it fails for a report of any process. Such a build is slower, and so is
# one for another processor, whose tests run under an emulator: so many times the limit that is written beside the test, and so many
# times what a test waits for something that must come (tests/support/patience.py, the same as a macro in C; never what the product
# promises in seconds).
set(VIGIA_TEST_LAUNCHER "")
set(VIGIA_TEST_PATIENCE 1)
if(VIGIA_SANITIZE AND NOT VIGIA_FUZZ)
  set(VIGIA_TEST_LAUNCHER ${CMAKE_SOURCE_DIR}/tests/support/sanitized)
  set(VIGIA_TEST_PATIENCE 6)
elseif(CMAKE_CROSSCOMPILING)
  set(VIGIA_TEST_PATIENCE 4)
endif()

# One test program = one ctest test. Exit 77 means skipped, and the program has said why.
function(vigia_test name)
  cmake_parse_arguments(M "" "TIMEOUT" "SRCS;DEPS;LIBS;LABELS;ARGS" ${ARGN})
  add_executable(${name} ${M_SRCS})
  target_link_libraries(${name} PRIVATE vigia_flags ${M_DEPS} ${M_LIBS} vgdep::cmocka)
  target_compile_definitions(${name} PRIVATE VIGIA_SOURCE_DIR="${CMAKE_SOURCE_DIR}" VIGIA_BINARY_DIR="${CMAKE_BINARY_DIR}"
    VIGIA_TEST_PATIENCE=${VIGIA_TEST_PATIENCE})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(VIGIA_TEST_LAUNCHER)
    add_test(NAME ${name} COMMAND ${VIGIA_TEST_LAUNCHER} $<TARGET_FILE:${name}> ${M_ARGS})
  else()
    add_test(NAME ${name} COMMAND ${name} ${M_ARGS}) # by name, so that an ARM program starts under its emulator
  endif()
  if(NOT M_TIMEOUT)
    set(M_TIMEOUT 120)
  endif()
  math(EXPR M_TIMEOUT "${M_TIMEOUT} * ${VIGIA_TEST_PATIENCE}")
  if(NOT M_LABELS)
    set(M_LABELS unit)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${M_TIMEOUT} SKIP_RETURN_CODE 77 LABELS "${M_LABELS}")
endfunction()

# A program that tests run as a child process: built into <build>/tests, no test of its own.
function(vigia_test_helper name)
  cmake_parse_arguments(M "" "" "SRCS;DEPS;LIBS" ${ARGN})
  add_executable(${name} ${M_SRCS})
  target_link_libraries(${name} PRIVATE vigia_flags ${M_DEPS} ${M_LIBS})
  target_compile_definitions(${name} PRIVATE VIGIA_TEST_PATIENCE=${VIGIA_TEST_PATIENCE})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endfunction()

# A test that is a script (bash or python3); it finds the build folder in VIGIA_BINARY_DIR.
function(vigia_script_test name)
  cmake_parse_arguments(M "" "TIMEOUT" "COMMAND;LABELS" ${ARGN})
  if(NOT M_TIMEOUT)
    set(M_TIMEOUT 120)
  endif()
  if(NOT M_LABELS)
    set(M_LABELS integration)
  endif()
  math(EXPR M_TIMEOUT "${M_TIMEOUT} * ${VIGIA_TEST_PATIENCE}")
  add_test(NAME ${name} COMMAND ${VIGIA_TEST_LAUNCHER} ${M_COMMAND} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${M_TIMEOUT} SKIP_RETURN_CODE 77 LABELS "${M_LABELS}"
    ENVIRONMENT "VIGIA_BINARY_DIR=${CMAKE_BINARY_DIR};VIGIA_SOURCE_DIR=${CMAKE_SOURCE_DIR};VIGIA_TEST_PATIENCE=${VIGIA_TEST_PATIENCE}")
endfunction()

# Writes <build>/house.txt: one line per module and arrow, as configured. docs/architecture.md is drawn from it.
function(vigia_write_house)
  get_property(lines GLOBAL PROPERTY VIGIA_HOUSE)
  list(JOIN lines "\n" text)
  file(WRITE ${CMAKE_BINARY_DIR}/house.txt "${text}\n")
endfunction()
