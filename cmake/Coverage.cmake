# Counters of lines and conditions, for tests/coverage. Atomic, because threads and processes share them;
# relocatable, so that they lie in a mapped file and a process that is killed has counted as well.
if(FLEETHUB_COVERAGE)
  add_compile_options(-fprofile-instr-generate -fcoverage-mapping -fprofile-update=atomic
                      "SHELL:-mllvm -runtime-counter-relocation")
  add_link_options(-fprofile-instr-generate)
endif()
