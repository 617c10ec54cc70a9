# embed_bpf(target source symbol): compiles an eBPF program with clang and puts the object into the target, as
# `const unsigned char SYMBOL[]` and `const size_t SYMBOL_bytes`.
find_program(BPF_CLANG NAMES clang REQUIRED)
set(EMBED_BPF_SCRIPT ${CMAKE_CURRENT_LIST_DIR}/embed_bpf_script.cmake)
function(embed_bpf target source symbol)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.o)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c)
  add_custom_command(OUTPUT ${object} DEPFILE ${object}.d DEPENDS ${source}
    COMMAND ${BPF_CLANG} -target bpf -mcpu=v3 -O2 -g -fno-strict-aliasing -Wall -Wextra -Werror -I${CMAKE_SOURCE_DIR}
      -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE} -MD -MF ${object}.d -c ${source} -o ${object} VERBATIM)
  add_custom_command(OUTPUT ${out} DEPENDS ${object} ${EMBED_BPF_SCRIPT}
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DOBJECT=${object} -DSYMBOL=${symbol} -P ${EMBED_BPF_SCRIPT} VERBATIM)
  target_sources(${target} PRIVATE ${out})
endfunction()
