"""The types that real llama.cpp's quantizer picks: libllama of the npm package node-llama-cpp, called through ctypes.

A dry run goes through every tensor as llama-quantize does and logs what it would become; nothing is quantized or written.
"""
import ctypes
import re

from llama_cpp import NODE_FOLDER

LIBRARY = NODE_FOLDER / "node_modules" / "@node-llama-cpp" / "linux-x64" / "bins" / "linux-x64" / "libllama.v0.5.0.so"
N_TYPES = 43  # ggml's GGML_TYPE_COUNT: "no type given"

# llama.h's enum llama_ftype.
FILE_TYPES = {
    "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13, "Q4_K_S": 14,
    "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "IQ2_XXS": 19, "IQ2_XS": 20, "Q2_K_S": 21, "IQ3_XS": 22, "IQ3_XXS": 23,
    "IQ1_S": 24, "IQ4_NL": 25, "IQ3_S": 26, "IQ3_M": 27, "IQ2_S": 28, "IQ2_M": 29, "IQ4_XS": 30, "IQ1_M": 31, "TQ1_0": 36,
    "TQ2_0": 37, "MXFP4_MOE": 38, "Q1_0": 40, "Q2_0": 41,
}


class ImatrixData(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("data", ctypes.POINTER(ctypes.c_float)), ("size", ctypes.c_size_t)]


class QuantizeParams(ctypes.Structure):
    """llama_model_quantize_params of llama.h, release v0.5.0."""
    _fields_ = [("nthread", ctypes.c_int32), ("ftype", ctypes.c_int), ("output_tensor_type", ctypes.c_int),
                ("token_embedding_type", ctypes.c_int), ("allow_requantize", ctypes.c_bool),
                ("quantize_output_tensor", ctypes.c_bool), ("only_copy", ctypes.c_bool), ("pure", ctypes.c_bool),
                ("keep_split", ctypes.c_bool), ("dry_run", ctypes.c_bool), ("imatrix", ctypes.POINTER(ImatrixData)),
                ("kv_overrides", ctypes.c_void_p), ("tt_overrides", ctypes.c_void_p), ("prune_layers", ctypes.c_void_p)]


LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class Quantizer:
    def __init__(self):
        assert LIBRARY.exists(), f"{LIBRARY} is missing: make -f Makefile.helpers test-deps"
        self.ggml = ctypes.CDLL(str(LIBRARY))
        self.ggml.llama_model_quantize_default_params.restype = QuantizeParams
        self.ggml.llama_model_quantize.restype = ctypes.c_uint32
        self.ggml.llama_model_quantize.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(QuantizeParams)]
        self.log = []
        self.callback = LogCallback(lambda level, text, data: self.log.append(text.decode(errors="replace")))
        self.ggml.llama_log_set(self.callback, None)

    def params(self):
        """The library's defaults; their values show that the layout above is the library's."""
        params = self.ggml.llama_model_quantize_default_params()
        assert (params.ftype, params.output_tensor_type, params.token_embedding_type) == (FILE_TYPES["Q8_0"], N_TYPES, N_TYPES)
        flags = [getattr(params, name) for name, kind in QuantizeParams._fields_ if kind is ctypes.c_bool]
        assert flags == [False, True, False, False, False, False]
        assert not any((params.imatrix, params.kv_overrides, params.tt_overrides, params.prune_layers))
        return params

    def run(self, source, out, file_type, imatrix, dry_run):
        """Returns the log, or None (see types). `imatrix`: whether one is given; it then has one entry, which is enough for the choice of types."""
        params = self.params()
        params.nthread, params.ftype, params.dry_run = 1, FILE_TYPES[file_type], dry_run
        if imatrix:
            entries = (ImatrixData * 2)()
            entries[0] = ImatrixData(b"none", (ctypes.c_float * 1)(1.0), 1)
            params.imatrix = entries
        self.log.clear()
        code = self.ggml.llama_model_quantize(str(source).encode(), str(out).encode(), ctypes.byref(params))
        text = "".join(self.log)
        if code != 0 and "no tensor type fallback is defined" in text:
            return None
        assert code == 0, text[-2000:]
        return text

    def types(self, source, file_type, imatrix=False):
        """GGUF file -> {tensor: type} as llama-quantize would choose; None where it refuses a row that 32 does not divide."""
        text = self.run(source, "/dev/null", file_type, imatrix, dry_run=True)
        if text is None:
            return None
        out = {}
        for line in re.split(r"(?=\[ *\d+/ *\d+\] )", text)[1:]:
            name, before, after = re.match(
                r"\[ *\d+/ *\d+\] (\S+) +- \[.*?\], type = +(\w+), .*?size = +[\d.]+ MiB(?: -> +[\d.]+ MiB \((\w+)\))?", line,
                re.DOTALL).groups()
            out[name] = (after or before).upper()
        return out
