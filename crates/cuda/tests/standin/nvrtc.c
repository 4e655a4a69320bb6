// A stand-in for NVRTC: the machine's own C compiler. What it makes is a library; in place of its code it gives the
// library's path, which the stand-in for the driver loads.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct program { char path[300]; char log[400]; };

int nvrtcGetNumSupportedArchs(int *count) { *count = 2; return 0; }
int nvrtcGetSupportedArchs(int *all) { all[0] = 80; all[1] = 90; return 0; }

int nvrtcCreateProgram(struct program **program, const char *source, const char *name, int headers, const char **h,
                       const char **n) {
    (void)name; (void)headers; (void)h; (void)n;
    static int made;
    *program = calloc(1, sizeof **program);
    snprintf((*program)->path, sizeof (*program)->path, "%s/kernel-%d-%d", getenv("STANDIN"), (int)getpid(), made++);
    char file[310];
    snprintf(file, sizeof file, "%s.c", (*program)->path);
    FILE *out = fopen(file, "w");
    if (!out) return 1;
    fputs(source, out);
    return fclose(out) ? 1 : 0;
}

int nvrtcCompileProgram(struct program *program, int count, const char **options) {
    // The driver's card is one of those above.
    if (count != 1 || strcmp(options[0], "--gpu-architecture=sm_90")) {
        snprintf(program->log, sizeof program->log, "unknown option %s", count ? options[0] : "");
        return 5;
    }
    char command[1200];
    snprintf(command, sizeof command, "cc -x c -std=c11 -O2 -w -fno-strict-aliasing -shared -fPIC -include %s/kernel.h %s.c -o %s.so -lm",
             getenv("STANDIN"), program->path, program->path);
    return system(command) ? 6 : 0;
}

static void image(const struct program *program, char *to) { sprintf(to, "%s.so", program->path); }
int nvrtcGetCUBINSize(struct program *program, size_t *size) { *size = strlen(program->path) + 4; return 0; }
int nvrtcGetCUBIN(struct program *program, char *to) { image(program, to); return 0; }
int nvrtcGetPTXSize(struct program *program, size_t *size) { return nvrtcGetCUBINSize(program, size); }
int nvrtcGetPTX(struct program *program, char *to) { image(program, to); return 0; }
int nvrtcGetProgramLogSize(struct program *program, size_t *size) { *size = strlen(program->log) + 1; return 0; }
int nvrtcGetProgramLog(struct program *program, char *to) { strcpy(to, program->log); return 0; }
int nvrtcDestroyProgram(struct program **program) { free(*program); return 0; }
