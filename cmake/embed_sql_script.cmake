set(rows "")
foreach(file ${FILES})
  get_filename_component(name ${file} NAME_WE)
  string(REGEX MATCH "^[0-9]+" number ${name})
  math(EXPR number "${number}")
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(APPEND texts "static const char sql_${number}[] = { ${bytes}0 };\n")
  string(APPEND rows "    { ${number}, \"${name}\", sql_${number} },\n")
endforeach()
file(WRITE ${OUT} "#include \"common/db.h\"\n\n${texts}
extern const struct db_migration ${ROOM}_migrations[];
extern const size_t ${ROOM}_migration_count;
const struct db_migration ${ROOM}_migrations[] = {\n${rows}};
const size_t ${ROOM}_migration_count = sizeof ${ROOM}_migrations / sizeof ${ROOM}_migrations[0];\n")
