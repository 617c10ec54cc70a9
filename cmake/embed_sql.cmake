# embed_sql(target room): every <room>/sql/NNNN-name.sql becomes a row of the table
# `<room>_migrations` (struct db_migration, see common/db.h), in the order of the numbers.
function(embed_sql target room)
  file(GLOB files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${room}/sql/*.sql)
  list(SORT files)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${room}_migrations.c)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DROOM=${room} "-DFILES=${files}"
      -P ${CMAKE_SOURCE_DIR}/cmake/embed_sql_script.cmake
    DEPENDS ${files} ${CMAKE_SOURCE_DIR}/cmake/embed_sql_script.cmake VERBATIM)
  target_sources(${target} PRIVATE ${out})
endfunction()
