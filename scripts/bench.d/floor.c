/* The same as floor/main.go: opens the file, locks it, reads it and prints it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv) {
	struct stat st;
	int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;
	if (fd < 0 || flock(fd, LOCK_SH) < 0 || fstat(fd, &st) < 0) {
		perror("floor");
		return 1;
	}
	char *text = malloc(st.st_size);
	ssize_t n = read(fd, text, st.st_size);
	if (n < 0 || write(1, text, n) != n) {
		perror("floor");
		return 1;
	}
	return 0;
}
