/* What is common to every kind of source. */
#include "vigia/source.h"

bool vg_source_ops_complete(const struct vg_source_ops *ops)
{
    return ops->name != NULL && ops->open != NULL && ops->fd != NULL && ops->deadline != NULL &&
           ops->read != NULL && ops->close != NULL;
}
