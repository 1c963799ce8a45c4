# Hardening as OpenSSF's "Compiler Options Hardening Guide for C and C++" advises for C, each flag probed:
# what the compiler at hand does not know is left out. tests/system/test_hardening.py looks at what comes
# out. Sanitizers where asked for; they bring checks of their own in place of some.
#
# Left out on purpose: -fexceptions (no thread is cancelled), -D_GLIBCXX_ASSERTIONS (no C++).
include(CheckCCompilerFlag)
include(CheckCSourceCompiles)
include(CheckLinkerFlag)

function(harden_compile)
  foreach(flag ${ARGN})
    string(MAKE_C_IDENTIFIER "HAVE${flag}" known)
    check_c_compiler_flag("${flag}" ${known})
    if(${known})
      add_compile_options("${flag}")
    endif()
  endforeach()
endfunction()

if(FLEETHUB_SANITIZE)
  add_compile_options(-fsanitize=${FLEETHUB_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${FLEETHUB_SANITIZE})
else()
  # Level 3 also checks buffers whose size is known only when the program runs; a compiler or libc that
  # does not know it says so.
  set(CMAKE_REQUIRED_FLAGS "-O2 -Werror -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3")
  check_c_source_compiles("#include <stdio.h>\nint main(void) { return puts(\"\"); }" HAVE_FORTIFY_3)
  unset(CMAKE_REQUIRED_FLAGS)
  set(fortify 2)
  if(HAVE_FORTIFY_3)
    set(fortify 3)
  endif()
  add_compile_options($<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE>
                      $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=${fortify}>)
  harden_compile(-ftrivial-auto-var-init=zero -fzero-init-padding-bits=all)
endif()

harden_compile(-fstack-protector-strong -fstack-clash-protection -fcf-protection=full
               -fno-delete-null-pointer-checks -fno-strict-overflow)
if(NOT FLEETHUB_SANITIZE)
  harden_compile(-fstrict-flex-arrays=3 -fno-strict-aliasing)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$") # clang takes it elsewhere, and warns of it
  harden_compile(-mbranch-protection=standard)
endif()

set(CMAKE_POSITION_INDEPENDENT_CODE ON)
foreach(flag -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,-z,nodlopen -Wl,--as-needed
        -Wl,--no-copy-dt-needed-entries)
  string(MAKE_C_IDENTIFIER "HAVE${flag}" known)
  check_linker_flag(C "${flag}" ${known})
  if(${known})
    add_link_options("${flag}")
  endif()
endforeach()
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)
