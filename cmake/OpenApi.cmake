# embed_openapi(<target>): schema/openapi.yaml and the schemas it refers to become one JSON document,
# ${OPENAPI_JSON}, and the same bytes become a C array in <target> (hub/api_openapi.h declares it).
# tools/openapi_bundle.c does it.
set(OPENAPI_JSON ${PROJECT_BINARY_DIR}/schema/openapi.json)

function(embed_openapi target)
  set(folder ${PROJECT_SOURCE_DIR}/schema)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/generated/hub/openapi_embedded.c)
  file(GLOB schemas CONFIGURE_DEPENDS ${folder}/*.json)
  file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/schema ${CMAKE_CURRENT_BINARY_DIR}/generated/hub)
  add_custom_command(OUTPUT ${output} ${OPENAPI_JSON}
    COMMAND openapi-bundle ${folder}/openapi.yaml ${OPENAPI_JSON} ${output}
    DEPENDS ${folder}/openapi.yaml ${schemas} openapi-bundle
    COMMENT "Bundling the OpenAPI document" VERBATIM)
  target_sources(${target} PRIVATE ${output})
endfunction()
