/* What lives here: the one place that knows libfuse. Each operation decodes, asks the tree and answers exactly once.
 *
 * Settings, each with its reason (design, 'Kernel'):
 * - open and opendir are answered ENOSYS: the kernel then asks no more, and page cache and directory cache stay.
 * - flush, access, lseek (and getxattr, listxattr unless wanted) have no function: libfuse answers ENOSYS, once.
 * - READDIRPLUS always; attributes and names are valid for a day; what changes is told by the notifier (notify.c);
 *   names that are not there are never cached, so that a new one needs no notice.
 * - No splice: replies are written from cached memory. Pages are dropped by no one: an inode always shows the same
 *   bytes.
 * - The mount is read-only; should somebody remount it writable, everything that writes is EROFS.
 * Threads: libfuse's loop runs in a thread of ours and makes its workers (THREADS_MAX). */
#define FUSE_USE_VERSION 312

#include "fs/mount.h"

#include "codecs/base/log.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#define THREADS_MAX 16
#define TIMEOUT_S 86400.0
#define REPLY_MAX (1u << 20)
#define BLOCK 4096
#define NAME_MAX_BYTES 255
#define WAKE_SIGNAL SIGUSR2
#define WAKE_MS 10
#define GENERATION 1

struct mount {
    struct tree *tree;
    struct fuse_session *session;
    uid_t uid;
    gid_t gid;
    mode_t umask;
    bool no_open, no_opendir; /* what the kernel understands ENOSYS of */
    bool mounted, serving;
    pthread_t loop;
    atomic_bool done;
    void (*ended)(void *context);
    void *ended_context;
};

/* ---- answers ---------------------------------------------------------------------------------------------------- */

static struct mount *mount_of(fuse_req_t request)
{
    return fuse_req_userdata(request);
}

/* The one place where a failure becomes an errno. */
static void answer_error(fuse_req_t request, struct error *err)
{
    fuse_reply_err(request, error_errno(err->code));
    error_release(err);
}

/* Bytes that cannot be made out of what is stored are an I/O error, whatever is wrong with them. */
static void answer_read_error(fuse_req_t request, struct error *err)
{
    if (err->code != ERROR_NOT_FOUND && err->code != ERROR_NO_MEMORY && err->code != ERROR_RETRY)
        err->code = ERROR_DAMAGED;
    answer_error(request, err);
}

static void to_stat(const struct mount *mount, const struct attr *attr, struct stat *st)
{
    static const mode_t types[] = {
        [ATTR_FOLDER] = S_IFDIR | 0555, [ATTR_FILE] = S_IFREG | 0444, [ATTR_LINK] = S_IFLNK | 0777};
    /* What shows nothing yet is as old as the archive. */
    uint64_t created_ns = (uint64_t)pacs_conf(tree_pacs(mount->tree))->created_ns,
             time_ns = attr->time_ns ? attr->time_ns : created_ns;
    struct timespec time = {.tv_sec = (time_t)(time_ns / 1000000000), .tv_nsec = (long)(time_ns % 1000000000)};
    *st = (struct stat){
        .st_ino = attr->inode,
        .st_mode = attr->type == ATTR_LINK ? types[ATTR_LINK] : types[attr->type] & ~mount->umask,
        .st_nlink = attr->links,
        .st_uid = mount->uid,
        .st_gid = mount->gid,
        .st_size = (off_t)attr->size,
        .st_blksize = BLOCK,
        .st_blocks = (blkcnt_t)((attr->size + 511) / 512),
        .st_atim = time,
        .st_mtim = time,
        .st_ctim = time,
    };
}

static void to_entry(const struct mount *mount, const struct attr *attr, struct fuse_entry_param *entry)
{
    *entry = (struct fuse_entry_param){
        .ino = attr->inode, .generation = GENERATION, .attr_timeout = TIMEOUT_S, .entry_timeout = TIMEOUT_S};
    to_stat(mount, attr, &entry->attr);
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

static void op_init(void *context, struct fuse_conn_info *conn)
{
    struct mount *mount = context;
    const unsigned unwanted = FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                              FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_HANDLE_KILLPRIV |
                              FUSE_CAP_ATOMIC_O_TRUNC;
    const unsigned wanted = FUSE_CAP_READDIRPLUS | FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_CACHE_SYMLINKS |
                            FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ | FUSE_CAP_EXPLICIT_INVAL_DATA;
    conn->want = (conn->want & ~unwanted) | (wanted & conn->capable);
    mount->no_open = conn->capable & FUSE_CAP_NO_OPEN_SUPPORT;
    mount->no_opendir = conn->capable & FUSE_CAP_NO_OPENDIR_SUPPORT;
}

static void op_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    struct mount *mount = mount_of(request);
    struct attr attr;
    struct fuse_entry_param entry;
    struct error err = tree_lookup(mount->tree, parent, name, &attr);
    if (err.code != ERROR_NONE) {
        answer_error(request, &err);
        return;
    }
    to_entry(mount, &attr, &entry);
    fuse_reply_entry(request, &entry);
}

/* Nothing was kept, nothing is freed. */
static void op_forget(fuse_req_t request, fuse_ino_t inode, uint64_t count)
{
    (void)inode;
    (void)count;
    fuse_reply_none(request);
}

static void op_forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgets)
{
    (void)count;
    (void)forgets;
    fuse_reply_none(request);
}

static void op_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    (void)info;
    struct mount *mount = mount_of(request);
    struct attr attr;
    struct stat st;
    struct error err = tree_attr(mount->tree, inode, &attr);
    if (err.code != ERROR_NONE) {
        answer_error(request, &err);
        return;
    }
    to_stat(mount, &attr, &st);
    fuse_reply_attr(request, &st, TIMEOUT_S);
}

static void op_readlink(fuse_req_t request, fuse_ino_t inode)
{
    struct buf target;
    buf_init(&target);
    struct error err = tree_link(mount_of(request)->tree, inode, &target);
    if (err.code != ERROR_NONE)
        answer_error(request, &err);
    else
        fuse_reply_readlink(request, buf_string(&target));
    buf_release(&target);
}

static void op_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    (void)inode;
    if (mount_of(request)->no_open) {
        fuse_reply_err(request, ENOSYS);
        return;
    }
    info->keep_cache = 1;
    fuse_reply_open(request, info);
}

static void op_opendir(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    (void)inode;
    if (mount_of(request)->no_opendir) {
        fuse_reply_err(request, ENOSYS);
        return;
    }
    info->keep_cache = 1;
    info->cache_readdir = 1;
    fuse_reply_open(request, info);
}

static void op_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *info)
{
    (void)info;
    struct piece piece;
    struct error err =
        tree_read(mount_of(request)->tree, inode, (uint64_t)offset, size < REPLY_MAX ? size : REPLY_MAX, &piece);
    if (err.code != ERROR_NONE) {
        answer_read_error(request, &err);
    } else {
        struct iovec part = {.iov_base = (void *)(uintptr_t)piece.data, .iov_len = piece.size};
        fuse_reply_iov(request, &part, piece.size != 0);
    }
    piece_release(&piece);
}

struct page {
    fuse_req_t request;
    struct mount *mount;
    char *data;
    size_t size, used;
    bool plus;
};

static bool is_dots(const char *name)
{
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static bool take_entry(void *context, const char *name, uint64_t cookie, const struct attr *attr)
{
    struct page *page = context;
    struct fuse_entry_param entry;
    to_entry(page->mount, attr, &entry);
    if (is_dots(name))
        entry.ino = 0; /* the kernel takes no reference on these */
    size_t room = page->size - page->used, needed;
    needed = page->plus
                 ? fuse_add_direntry_plus(page->request, page->data + page->used, room, name, &entry, (off_t)cookie)
                 : fuse_add_direntry(page->request, page->data + page->used, room, name, &entry.attr, (off_t)cookie);
    if (needed > room)
        return false;
    page->used += needed;
    return true;
}

static void list(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, bool plus)
{
    struct page page = {.request = request, .mount = mount_of(request), .plus = plus};
    page.size = size < REPLY_MAX ? size : REPLY_MAX;
    page.data = malloc(page.size);
    struct error err = page.data ? tree_list(page.mount->tree, inode, (uint64_t)offset, take_entry, &page)
                                 : error_make(ERROR_NO_MEMORY, "out of memory");
    if (err.code != ERROR_NONE && page.used == 0)
        answer_error(request, &err);
    else /* what was found before a failure is shown; the next call meets it first */
        fuse_reply_buf(request, page.data, page.used);
    error_release(&err);
    free(page.data);
}

static void op_readdir(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *info)
{
    (void)info;
    list(request, inode, size, offset, false);
}

static void op_readdirplus(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *info)
{
    (void)info;
    list(request, inode, size, offset, true);
}

/* Full, like any image that is not written to: what is shown, and nothing free. */
static void op_statfs(fuse_req_t request, fuse_ino_t inode)
{
    (void)inode;
    struct pacs_txn *txn;
    struct pacs_counts counts;
    struct error err = pacs_begin(tree_pacs(mount_of(request)->tree), &txn);
    if (err.code == ERROR_NONE) {
        err = pacs_counts(txn, &counts);
        pacs_end(txn);
    }
    if (err.code != ERROR_NONE) {
        answer_error(request, &err);
        return;
    }
    struct statvfs st = {.f_bsize = BLOCK,
                         .f_frsize = BLOCK,
                         .f_blocks = (counts.bytes + BLOCK - 1) / BLOCK,
                         .f_files = counts.editions,
                         .f_namemax = NAME_MAX_BYTES};
    fuse_reply_statfs(request, &st);
}

/* A list of names or a value, as listxattr(2) and getxattr(2) want it. */
static void answer_xattr(fuse_req_t request, struct error *err, const struct buf *value, size_t size)
{
    if (err->code == ERROR_NOT_FOUND) {
        error_release(err);
        fuse_reply_err(request, ENODATA);
    } else if (err->code != ERROR_NONE) {
        answer_error(request, err);
    } else if (size == 0) {
        fuse_reply_xattr(request, value->size);
    } else if (value->size > size) {
        fuse_reply_err(request, ERANGE);
    } else {
        fuse_reply_buf(request, (const char *)value->data, value->size);
    }
}

static void op_getxattr(fuse_req_t request, fuse_ino_t inode, const char *name, size_t size)
{
    struct buf value;
    buf_init(&value);
    struct error err = tree_xattr(mount_of(request)->tree, inode, name, &value);
    answer_xattr(request, &err, &value, size);
    buf_release(&value);
}

static void op_listxattr(fuse_req_t request, fuse_ino_t inode, size_t size)
{
    struct buf names;
    buf_init(&names);
    struct error err = tree_xattr_names(mount_of(request)->tree, inode, &names);
    answer_xattr(request, &err, &names, size);
    buf_release(&names);
}

/* ---- what writes ------------------------------------------------------------------------------------------------ */

static void op_setattr(fuse_req_t request, fuse_ino_t inode, struct stat *st, int set, struct fuse_file_info *info)
{
    (void)inode, (void)st, (void)set, (void)info;
    fuse_reply_err(request, EROFS);
}

static void op_mknod(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
    (void)parent, (void)name, (void)mode, (void)device;
    fuse_reply_err(request, EROFS);
}

static void op_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode)
{
    (void)parent, (void)name, (void)mode;
    fuse_reply_err(request, EROFS);
}

static void op_remove(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    (void)parent, (void)name;
    fuse_reply_err(request, EROFS);
}

static void op_symlink(fuse_req_t request, const char *target, fuse_ino_t parent, const char *name)
{
    (void)target, (void)parent, (void)name;
    fuse_reply_err(request, EROFS);
}

static void op_rename(fuse_req_t request, fuse_ino_t from, const char *name, fuse_ino_t to, const char *new,
                      unsigned flags)
{
    (void)from, (void)name, (void)to, (void)new, (void)flags;
    fuse_reply_err(request, EROFS);
}

static void op_link(fuse_req_t request, fuse_ino_t inode, fuse_ino_t parent, const char *name)
{
    (void)inode, (void)parent, (void)name;
    fuse_reply_err(request, EROFS);
}

static void op_write(fuse_req_t request, fuse_ino_t inode, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *info)
{
    (void)inode, (void)data, (void)size, (void)offset, (void)info;
    fuse_reply_err(request, EROFS);
}

static void op_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *info)
{
    (void)parent, (void)name, (void)mode, (void)info;
    fuse_reply_err(request, EROFS);
}

static void op_setxattr(fuse_req_t request, fuse_ino_t inode, const char *name, const char *value, size_t size,
                        int flags)
{
    (void)inode, (void)name, (void)value, (void)size, (void)flags;
    fuse_reply_err(request, EROFS);
}

static const struct fuse_lowlevel_ops operations = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .readlink = op_readlink,
    .open = op_open,
    .opendir = op_opendir,
    .read = op_read,
    .readdir = op_readdir,
    .readdirplus = op_readdirplus,
    .statfs = op_statfs,
    .setattr = op_setattr,
    .mknod = op_mknod,
    .mkdir = op_mkdir,
    .unlink = op_remove,
    .rmdir = op_remove,
    .symlink = op_symlink,
    .rename = op_rename,
    .link = op_link,
    .write = op_write,
    .create = op_create,
    .setxattr = op_setxattr,
    .removexattr = op_remove,
};

/* ---- telling the kernel ----------------------------------------------------------------------------------------- */

/* The kernel says ENOENT for what it does not hold: then there is nothing to forget. */

static void tell_name(void *context, uint64_t folder, const char *name)
{
    struct mount *mount = context;
    fuse_lowlevel_notify_inval_entry(mount->session, folder, name, strlen(name));
}

static void tell_listing(void *context, uint64_t folder)
{
    struct mount *mount = context;
    fuse_lowlevel_notify_inval_inode(mount->session, folder, 0, 0);
}

static void tell_attributes(void *context, uint64_t inode)
{
    struct mount *mount = context;
    fuse_lowlevel_notify_inval_inode(mount->session, inode, -1, 0);
}

struct change_sink mount_sink(struct mount *mount)
{
    return (struct change_sink){
        .name = tell_name, .listing = tell_listing, .attributes = tell_attributes, .context = mount};
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static struct error add_options(struct fuse_args *args, const struct options *options, const char *archive)
{
    char *list = NULL;
    struct error err = error_make(ERROR_NO_MEMORY, "out of memory");
    struct buf name;
    buf_init(&name);
    buf_printf(&name, "fsname=%s", archive);
    if (fuse_opt_add_opt(&list, "subtype=pacsfs,ro,nosuid,nodev,default_permissions") < 0 ||
        fuse_opt_add_opt_escaped(&list, buf_string(&name)) < 0 ||
        (options->allow_other && fuse_opt_add_opt(&list, "allow_other") < 0) ||
        (options->passed.size && fuse_opt_add_opt(&list, (const char *)options->passed.data) < 0))
        goto out;
    if (fuse_opt_add_arg(args, "pacsfs") < 0 || fuse_opt_add_arg(args, "-o") < 0 || fuse_opt_add_arg(args, list) < 0)
        goto out;
    error_release(&err);
out:
    buf_release(&name);
    free(list);
    return err;
}

struct error mount_open(struct mount **out, struct tree *tree, const struct options *options, const char *archive,
                        const char *path)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    struct fuse_lowlevel_ops wanted = operations;
    struct mount *mount = calloc(1, sizeof *mount);
    struct error err = NO_ERROR;
    if (!mount)
        CHECK(error_make(ERROR_NO_MEMORY, "out of memory"));
    mount->tree = tree;
    mount->uid = options->uid;
    mount->gid = options->gid;
    mount->umask = options->umask;
    if (options->xattr) {
        wanted.getxattr = op_getxattr;
        wanted.listxattr = op_listxattr;
    }
    CHECK(add_options(&args, options, archive));
    mount->session = fuse_session_new(&args, &wanted, sizeof wanted, mount);
    if (!mount->session)
        CHECK(error_make(ERROR_USAGE, "libfuse refuses these options: %s",
                         options->passed.size ? (const char *)options->passed.data : "its message stands above"));
    if (fuse_session_mount(mount->session, path) != 0)
        CHECK(error_make(ERROR_REFUSED, "cannot mount on %s: libfuse's message stands above", path));
    mount->mounted = true;
    *out = mount;
    mount = NULL;
out:
    fuse_opt_free_args(&args);
    if (mount)
        mount_close(mount);
    return err;
}

static void on_wake(int signal)
{
    (void)signal; /* it interrupts the wait of the loop, no more */
}

static void *run_loop(void *argument)
{
    struct mount *mount = argument;
    sigset_t wake;
    sigemptyset(&wake);
    sigaddset(&wake, WAKE_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    if (config) {
        fuse_loop_cfg_set_max_threads(config, THREADS_MAX);
        fuse_loop_cfg_set_idle_threads(config, THREADS_MAX);
        fuse_session_loop_mt(mount->session, config);
        fuse_loop_cfg_destroy(config);
    }
    atomic_store(&mount->done, true);
    mount->ended(mount->ended_context);
    return NULL;
}

struct error mount_serve(struct mount *mount, void (*ended)(void *context), void *context)
{
    struct sigaction action = {.sa_handler = on_wake};
    mount->ended = ended;
    mount->ended_context = context;
    if (sigaction(WAKE_SIGNAL, &action, NULL) < 0)
        return error_system(errno, "sigaction");
    int failed = pthread_create(&mount->loop, NULL, run_loop, mount);
    if (failed)
        return error_system(failed, "cannot start the thread that serves the mount");
    mount->serving = true;
    return NO_ERROR;
}

void mount_stop(struct mount *mount)
{
    if (!mount->serving)
        return;
    fuse_session_exit(mount->session);
    while (!atomic_load(&mount->done)) { /* a signal that comes before the loop waits is lost: until it ends */
        pthread_kill(mount->loop, WAKE_SIGNAL);
        nanosleep(&(struct timespec){.tv_nsec = WAKE_MS * 1000000}, NULL);
    }
    pthread_join(mount->loop, NULL);
    mount->serving = false;
}

void mount_close(struct mount *mount)
{
    if (!mount)
        return;
    if (mount->mounted)
        fuse_session_unmount(mount->session);
    if (mount->session)
        fuse_session_destroy(mount->session);
    free(mount);
}
