/* What lives here: the mount's root, and the way from an inode to the view or the kind of file that answers for it.
 * Each call begins one read transaction and ends it before it returns; reads of bytes hold none while they wait. */
#include "fs/complaints.h"
#include "fs/file.h"
#include "fs/held.h"
#include "fs/prefetch.h"
#include "fs/xattr.h"

#include "codecs/base/log.h"
#include "codecs/base/settings.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COOKIE_DOT 1
#define COOKIE_DOT_DOT 2
#define VIEWS_MAX 16

/* The name of a view that there is not: an error that says which there are, or which was meant. */
static struct error unknown_view(const char *name)
{
    const char *words[VIEWS_MAX] = {0};
    struct buf all;
    buf_init(&all);
    for (size_t i = 0; views[i].name && i + 1 < VIEWS_MAX; i++) {
        words[i] = views[i].name;
        buf_printf(&all, " %s", views[i].name);
    }
    const char *near = nearest_word(name, words);
    struct error err = near ? error_make(ERROR_USAGE, "no view is called '%s': did you mean '%s'?", name, near)
                            : error_make(ERROR_USAGE, "no view is called '%s': there are%s", name, buf_string(&all));
    buf_release(&all);
    return err;
}

struct error tree_new(struct tree **out, struct pacs *pacs, const struct tree_options *options)
{
    const struct view *only = NULL;
    if (options->view && !(only = view_by_name(options->view)))
        return unknown_view(options->view);
    struct tree *tree = calloc(1, sizeof *tree);
    if (!tree)
        return error_make(ERROR_NO_MEMORY, "out of memory");
    struct error err = NO_ERROR;
    tree->pacs = pacs;
    tree->show = options->show;
    tree->quiet_ns = (uint64_t)pacs_conf(pacs)->quiet_ms * 1000000;
    tree->root = only ? view_root(only->code) : NODE_ROOT;
    for (const struct view *view = views; view->name; view++)
        if (!only || only == view)
            tree->views |= VIEW_BIT(view->code);
    CHECK(held_new(&tree->held, pacs));
    CHECK(complaints_new(&tree->complaints));
    CHECK(prefetch_new(&tree->prefetch, tree));
    *out = tree;
    return NO_ERROR;
out:
    tree_free(tree);
    return err;
}

void tree_free(struct tree *tree)
{
    if (!tree)
        return;
    prefetch_free(tree->prefetch);
    held_free(tree->held);
    complaints_free(tree->complaints);
    free(tree);
}

struct pacs *tree_pacs(const struct tree *tree)
{
    return tree->pacs;
}

void tree_idle(struct tree *tree)
{
    held_idle(tree->held);
}

static struct error begin(struct tree *tree, struct request *request)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *request = (struct request){.tree = tree, .now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec};
    return pacs_begin(tree->pacs, &request->txn);
}

/* The node that an inode of this mount stands for. */
static struct error resolve(const struct tree *tree, uint64_t inode, struct node *node)
{
    if (!node_of(inode == NODE_ROOT ? tree->root : inode, node))
        return no_such_name();
    if (node->role == NODE_FIXED || node->role == NODE_FILE || node->role == NODE_FRAME)
        return NO_ERROR;
    const struct view *view = view_of(*node);
    return view && (tree->views & VIEW_BIT(view->code)) ? NO_ERROR : no_such_name();
}

/* The root of a mount is inode 1, whatever it shows. */
static uint64_t outside(const struct tree *tree, uint64_t inode)
{
    return inode == tree->root ? NODE_ROOT : inode;
}

/* ---- the root of all views -------------------------------------------------------------------------------------- */

static struct error root_attr(const struct request *request, struct attr *attr)
{
    struct object_row row;
    TRY(pacs_object(request->txn, PACS_ROOT, &row));
    *attr = (struct attr){.inode = NODE_ROOT, .type = ATTR_FOLDER, .time_ns = row.created_ns, .links = 1};
    return NO_ERROR;
}

static struct error view_root_attr(const struct request *request, const struct view *view, struct attr *attr)
{
    struct node node = {.role = NODE_FOLDER, .id = PACS_ROOT, .part = view->code};
    return view->attr(request, node, attr);
}

static struct error root_lookup(const struct request *request, const char *name, struct attr *attr)
{
    for (const struct file_kind *kind = file_kinds; kind->name; kind++)
        if (kind->of == FILE_OF_MOUNT && strcmp(kind->name, name) == 0)
            return file_attr_by_node(request, (struct node){.role = NODE_FILE, .id = PACS_ROOT, .part = kind->code},
                                     attr);
    const struct view *view = view_by_name(name);
    return view ? view_root_attr(request, view, attr) : no_such_name();
}

static struct error root_list(const struct request *request, const struct listing *listing)
{
    struct attr attr;
    for (const struct file_kind *kind = file_kinds; kind->name; kind++) {
        uint64_t cookie = COOKIE_FIXED + kind->code;
        if (kind->of != FILE_OF_MOUNT || cookie <= listing->after)
            continue;
        TRY(file_attr_by_node(request, (struct node){.role = NODE_FILE, .id = PACS_ROOT, .part = kind->code}, &attr));
        if (!listing->take(listing->context, kind->name, cookie, &attr))
            return NO_ERROR;
    }
    for (const struct view *view = views; view->name; view++) {
        uint64_t cookie = (uint64_t)view->code << COOKIE_SLOT_BITS;
        if (cookie <= listing->after)
            continue;
        TRY(view_root_attr(request, view, &attr));
        if (!listing->take(listing->context, view->name, cookie, &attr))
            return NO_ERROR;
    }
    return NO_ERROR;
}

/* ---- what the edge asks ----------------------------------------------------------------------------------------- */

static struct error node_attr(const struct request *request, struct node node, struct attr *attr)
{
    if (node.role == NODE_FIXED)
        return root_attr(request, attr);
    if (node.role == NODE_FILE || node.role == NODE_FRAME)
        return file_attr_by_node(request, node, attr);
    return view_of(node)->attr(request, node, attr);
}

static struct error node_parent(const struct request *request, struct node node, uint64_t *inode)
{
    *inode = NODE_ROOT;
    const struct view *view = view_of(node);
    if (node.role == NODE_FIXED || !view)
        return NO_ERROR;
    TRY(view->parent(request, node, inode));
    *inode = outside(request->tree, *inode);
    return NO_ERROR;
}

struct error tree_attr(struct tree *tree, uint64_t inode, struct attr *attr)
{
    struct node node;
    struct request request;
    TRY(resolve(tree, inode, &node));
    TRY(begin(tree, &request));
    struct error err = node_attr(&request, node, attr);
    pacs_end(request.txn);
    attr->inode = outside(tree, attr->inode);
    return err;
}

static struct error lookup_dots(const struct request *request, struct node node, const char *name, struct attr *attr)
{
    if (name[1] == '.') {
        uint64_t above;
        TRY(node_parent(request, node, &above));
        TRY(resolve(request->tree, above, &node));
    }
    return node_attr(request, node, attr);
}

struct error tree_lookup(struct tree *tree, uint64_t folder, const char *name, struct attr *attr)
{
    struct node node;
    struct request request;
    TRY(resolve(tree, folder, &node));
    const struct view *view = view_of(node);
    if (!view && node.role != NODE_FIXED && strcmp(name, ".") != 0)
        return no_such_name();
    TRY(begin(tree, &request));
    struct error err = strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ? lookup_dots(&request, node, name, attr)
                       : view                                            ? view->lookup(&request, node, name, attr)
                                                                         : root_lookup(&request, name, attr);
    pacs_end(request.txn);
    attr->inode = outside(tree, attr->inode);
    return err;
}

/* "." and ".."; `*more`: whether there was room. Only their inodes are looked at. */
static struct error list_dots(const struct request *request, uint64_t folder, struct node node,
                              const struct listing *listing, bool *more)
{
    struct attr attr = {.inode = folder, .type = ATTR_FOLDER, .links = 1};
    if (listing->after < COOKIE_DOT)
        *more = listing->take(listing->context, ".", COOKIE_DOT, &attr);
    if (*more && listing->after < COOKIE_DOT_DOT) {
        TRY(node_parent(request, node, &attr.inode));
        *more = listing->take(listing->context, "..", COOKIE_DOT_DOT, &attr);
    }
    return NO_ERROR;
}

struct error tree_list(struct tree *tree, uint64_t folder, uint64_t after, listing_take take, void *context)
{
    struct node node;
    struct request request;
    struct listing listing = {.after = after, .take = take, .context = context};
    bool more = true;
    TRY(resolve(tree, folder, &node));
    const struct view *view = view_of(node);
    if (!view && node.role != NODE_FIXED)
        return no_such_name();
    TRY(begin(tree, &request));
    struct error err = list_dots(&request, folder, node, &listing, &more);
    if (listing.after <= COOKIE_DOT_DOT)
        listing.after = 0; /* views count from nothing */
    if (err.code == ERROR_NONE && more)
        err = view ? view->list(&request, node, &listing) : root_list(&request, &listing);
    pacs_end(request.txn);
    return err;
}

struct error tree_link(struct tree *tree, uint64_t inode, struct buf *target)
{
    struct node node;
    struct request request;
    TRY(resolve(tree, inode, &node));
    const struct view *view = view_of(node);
    if (!view || !view->link)
        return no_such_name();
    TRY(begin(tree, &request));
    struct error err = view->link(&request, node, target);
    pacs_end(request.txn);
    return err.code == ERROR_NONE ? buf_error(target) : err;
}

struct error tree_read(struct tree *tree, uint64_t inode, uint64_t offset, size_t size, struct piece *piece)
{
    struct node node;
    *piece = (struct piece){0};
    TRY(resolve(tree, inode, &node));
    struct error err = file_read(tree, node, offset, size, piece);
    if (err.code != ERROR_NONE && err.code != ERROR_NOT_FOUND && complaints_due(tree->complaints, inode))
        log_line(LOG_LEVEL_ERROR, "mount", "cannot read inode %llu at %llu: %s", (unsigned long long)inode,
                 (unsigned long long)offset, error_text(&err));
    return err;
}

void piece_release(struct piece *piece)
{
    if (piece->entry)
        cache_put(piece->cache, piece->entry);
    if (piece->owned.data)
        spares_give(cache_spares(piece->cache), &piece->owned);
    *piece = (struct piece){0};
}

struct error tree_xattr_names(struct tree *tree, uint64_t inode, struct buf *names)
{
    struct node node;
    TRY(resolve(tree, inode, &node));
    return xattr_names(tree, node, names);
}

struct error tree_xattr(struct tree *tree, uint64_t inode, const char *name, struct buf *value)
{
    struct node node;
    TRY(resolve(tree, inode, &node));
    return xattr_value(tree, node, name, value);
}
