// A breach for the test of the check: formats sees nothing but itself.
#include "quant/codecs.h"
