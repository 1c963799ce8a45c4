# Writes HEADER from TEMPLATE; run at every build, touches the header only when its text changes.
set(COMMIT "")
set(DATE "")
find_program(GIT_PROGRAM git)
if(GIT_PROGRAM AND EXISTS ${SOURCE_DIR}/.git)
  execute_process(COMMAND ${GIT_PROGRAM} -C ${SOURCE_DIR} rev-parse --short=12 HEAD
                  OUTPUT_VARIABLE COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  execute_process(COMMAND ${GIT_PROGRAM} -C ${SOURCE_DIR} log -1 --format=%cs
                  OUTPUT_VARIABLE DATE OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(DATE STREQUAL "")
  string(TIMESTAMP DATE %Y-%m-%d UTC) # of SOURCE_DATE_EPOCH where that is set
endif()
configure_file(${TEMPLATE} ${HEADER} @ONLY)
