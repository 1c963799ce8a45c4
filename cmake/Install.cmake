# `cmake --install`, and packages by CPack: the program, what it prints of itself (manual, completion,
# example configuration), the systemd unit, and what operators need beside it.
include(GNUInstallDirs)

install(TARGETS fleethub RUNTIME)

set(documents_dir ${PROJECT_BINARY_DIR}/documents)
# Made by the program: a sanitizer's build has no use for them.
if(NOT FLEETHUB_SANITIZE)
  find_program(GZIP_PROGRAM gzip REQUIRED)
  set(documents ${documents_dir}/fleethub.1.gz ${documents_dir}/completion.bash
      ${documents_dir}/completion.zsh ${documents_dir}/completion.fish ${documents_dir}/fleethub.yaml)
  file(MAKE_DIRECTORY ${documents_dir})
  add_custom_command(OUTPUT ${documents}
    COMMAND fleethub man > ${documents_dir}/fleethub.1
    COMMAND ${GZIP_PROGRAM} -9nf ${documents_dir}/fleethub.1
    COMMAND fleethub completion bash > ${documents_dir}/completion.bash
    COMMAND fleethub completion zsh > ${documents_dir}/completion.zsh
    COMMAND fleethub completion fish > ${documents_dir}/completion.fish
    COMMAND fleethub config example > ${documents_dir}/fleethub.yaml
    DEPENDS fleethub
    COMMENT "Writing the manual, completion and the example configuration" VERBATIM)
  add_custom_target(fleethub_documents ALL DEPENDS ${documents})

  install(FILES ${documents_dir}/fleethub.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${documents_dir}/completion.bash RENAME fleethub
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${documents_dir}/completion.fish RENAME fleethub.fish
          DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
  install(FILES ${documents_dir}/fleethub.yaml DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
endif()

install(FILES README.md RUNBOOK.md ARCHITECTURE.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs migrations DESTINATION ${CMAKE_INSTALL_DOCDIR})
file(GLOB examples LIST_DIRECTORIES true CONFIGURE_DEPENDS deploy/nats deploy/prometheus deploy/grafana)
install(DIRECTORY ${examples} DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples USE_SOURCE_PERMISSIONS)
install(DIRECTORY schema ${PROJECT_BINARY_DIR}/schema DESTINATION ${CMAKE_INSTALL_DATADIR}/fleethub
        FILES_MATCHING PATTERN "*.json" PATTERN "*.yaml")

# What depends on the prefix, which is known only when it is installed.
install(CODE "set(FLEETHUB_SOURCE_DIR \"${PROJECT_SOURCE_DIR}\")
set(FLEETHUB_BINARY_DIR \"${PROJECT_BINARY_DIR}\")")
install(SCRIPT ${CMAKE_CURRENT_LIST_DIR}/InstallSystem.cmake)
