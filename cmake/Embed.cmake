# embed_migrations(<target>): the files of migrations/ become a C array in <target>, so that the
# program carries the schema it was built for. hub/migrate.h declares what is generated.
#
# The same file is the script that writes the source:
#   cmake -DMIGRATIONS=<folder> -DOUTPUT=<file.c> -P Embed.cmake
if(CMAKE_SCRIPT_MODE_FILE)
  file(GLOB files LIST_DIRECTORIES false ${MIGRATIONS}/[0-9][0-9][0-9][0-9]_*.sql)
  list(SORT files)
  set(arrays "")
  set(table "")
  set(expected 0)
  foreach(file ${files})
    get_filename_component(name ${file} NAME_WE)
    string(SUBSTRING ${name} 0 4 digits)
    string(REGEX REPLACE "^0+" "" version ${digits})
    math(EXPR expected "${expected} + 1")
    if(NOT version STREQUAL expected)
      message(FATAL_ERROR "${file}: version ${expected} expected; migrations are numbered without a gap")
    endif()
    file(READ ${file} bytes HEX)
    string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
    string(APPEND arrays "static const char sql_${digits}[] = {\n${bytes}0};\n\n")
    string(APPEND table "    {${version}, \"${name}\", sql_${digits}, sizeof sql_${digits} - 1},\n")
  endforeach()
  file(WRITE ${OUTPUT} "/* Generated from migrations/ by cmake/Embed.cmake. */\n#include \"hub/migrate.h\"\n\n"
       "${arrays}const struct migration migrations[] = {\n${table}};\n"
       "const size_t migration_count = ${expected};\n")
  return()
endif()

set(EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})

function(embed_migrations target)
  set(folder ${PROJECT_SOURCE_DIR}/migrations)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/generated/hub/migrations_embedded.c)
  file(GLOB files CONFIGURE_DEPENDS ${folder}/*.sql)
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DMIGRATIONS=${folder} -DOUTPUT=${output} -P ${EMBED_SCRIPT}
    DEPENDS ${files} ${EMBED_SCRIPT}
    COMMENT "Embedding the migrations" VERBATIM)
  target_sources(${target} PRIVATE ${output})
endfunction()
