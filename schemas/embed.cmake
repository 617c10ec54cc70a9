# Writes OUTPUT, a C file with the texts of DOCUMENTS (see common/schema_internal.h).
set(texts "")
set(rows "")
set(count 0)
foreach(document ${DOCUMENTS})
  get_filename_component(name ${document} NAME_WE)
  file(READ ${document} hex HEX)
  string(LENGTH "${hex}" digits)
  math(EXPR length "${digits} / 2")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(APPEND texts "static const unsigned char text_${count}[] = { ${bytes} 0 };\n")
  string(APPEND rows "    { \"${name}\", (const char *)text_${count}, ${length} },\n")
  math(EXPR count "${count} + 1")
endforeach()
file(WRITE ${OUTPUT} "/* Generated from schemas/ by embed.cmake. */
#include \"common/schema_internal.h\"

${texts}
const struct schema_source schema_sources[] = {
${rows}    { 0, 0, 0 },
};
const size_t schema_source_count = ${count};
")
