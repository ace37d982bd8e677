#include "convert/model.h"
