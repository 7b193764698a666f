"""Plain loops after the published rules, for benchmark_spatial_embedding."""
import torch


def plain_lovasz(embeddings, centers, weights, ids):
    """Average the hinges of all instances, each over all pixels."""
    total = 0
    for k in range(len(centers)):
        exponent = (weights[k, :, None] *
                    (embeddings - centers[k, :, None])**2).sum(0)
        labels = (ids == k + 1).float()
        signs = 2 * labels - 1
        errors = 1 - (2 * torch.exp(-exponent) - 1) * signs
        errors, order = torch.sort(errors, descending=True)
        labels = labels[order]
        missing = labels.sum() - labels.cumsum(0)
        union = labels.sum() + (1 - labels).cumsum(0)
        jaccard = 1 - missing / union
        jaccard[1:] = jaccard[1:] - jaccard[:-1].clone()
        total = total + torch.relu(errors) @ jaccard.detach() / len(centers)
    return total


def plain_clustering(embeddings, raw, seeds, min_pixels=128):
    """Return masks; each step passes over all foreground pixels."""
    members = seeds > .5
    points, bandwidths = embeddings[:, members], raw[:, members]
    values, found = seeds[members], []
    is_open = torch.ones(len(values))
    while is_open.sum() > min_pixels:
        seed = (values * is_open).argmax()
        if values[seed] < .9:
            break
        is_open[seed] = 0
        weights = torch.exp(10 * bandwidths[:, seed, None])
        phi = torch.exp(-(weights *
                          (points - points[:, seed, None])**2).sum(0))
        inside = phi > .5
        if inside.sum() > min_pixels:
            if is_open[inside].sum() / inside.sum() > .5:
                found.append(torch.zeros_like(members))
                found[-1][members] = inside
        is_open[inside] = 0
    return torch.stack(found)
