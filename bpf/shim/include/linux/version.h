/* tc programs are not tied to a kernel version; bcc's headers ask for one all the same. */
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#define LINUX_VERSION_CODE KERNEL_VERSION(4, 9, 0)
