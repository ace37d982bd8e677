// A breach for the test of the check: a model's name in code that is about any model.
const char* kFamily = "NemotronH";
