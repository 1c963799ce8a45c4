# Warnings are errors. Each flag is probed, so that gcc and clang both build.
include(CheckCCompilerFlag)
# What the hardening guide (cmake/Hardening.cmake) has beside these; of the programs as people get them.
if(NOT FLEETHUB_SANITIZE)
  set(guide -Wtrampolines -Wbidi-chars=any) # format-security is part of -Wformat=2
endif()
foreach(flag -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
        -Wformat=2 -Wundef -Wwrite-strings -Wpointer-arith -Wcast-align -Wimplicit-fallthrough
        -Wduplicated-cond -Wlogical-op ${guide})
  string(MAKE_C_IDENTIFIER "HAVE${flag}" known)
  check_c_compiler_flag("${flag}" ${known})
  if(${known})
    add_compile_options("${flag}")
  endif()
endforeach()
add_compile_options(-Werror)
add_compile_definitions(_GNU_SOURCE)
