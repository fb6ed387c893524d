/* The CUDA driver as far as app/device.py asks it: one integrated GPU, that of an Orin Nano with 8 GB. */
#include <stddef.h>

#define INVALID 1

int cuInit(unsigned flags) { return flags ? INVALID : 0; }

int cuDeviceGet(int *device, int ordinal) {
  *device = ordinal;
  return ordinal ? INVALID : 0;
}

int cuDeviceGetName(char *name, int size, int device) {
  static const char own[] = "Orin";
  if (size < (int)sizeof own || device)
    return INVALID;
  for (size_t index = 0; index < sizeof own; index++)
    name[index] = own[index];
  return 0;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) {
  *bytes = (size_t)7620 << 20;
  return device ? INVALID : 0;
}

int cuDriverGetVersion(int *version) {
  *version = 12060;
  return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
  switch (attribute) {
  case 16: /* multiprocessors */
    *value = 8;
    break;
  case 18: /* integrated */
    *value = 1;
    break;
  case 75: /* compute capability */
    *value = 8;
    break;
  case 76:
    *value = 7;
    break;
  default:
    return INVALID;
  }
  return device ? INVALID : 0;
}
