file(READ ${OBJECT} hex HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
file(WRITE ${OUT} "#include <stddef.h>
extern const unsigned char ${SYMBOL}[];
extern const size_t ${SYMBOL}_bytes;
_Alignas(8) const unsigned char ${SYMBOL}[] = { ${bytes} };
const size_t ${SYMBOL}_bytes = sizeof ${SYMBOL};\n")
